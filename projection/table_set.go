package projection

// setMembers is the table of a [Set]. Like that of an [Index] it keeps only
// what waits for the commit, the last change of each member; scores are 0.
type setMembers struct {
	members
	out []SetChange
}

func (s *Set) newTable(int, bool) table {
	return &setMembers{members: members{name: s.name, at: make(map[[2]string]int)}}
}

func (x *setMembers) flush(b *Batch) error {
	entries := x.takeOff()
	x.out = x.out[:0]
	for i := range entries {
		e := &entries[i]
		x.out = append(x.out, SetChange{Key: e.Key, Member: e.Member, Remove: e.Remove})
	}
	if len(x.out) > 0 {
		b.Sets = append(b.Sets, SetChanges{Collection: x.name, Changes: x.out})
	}
	return nil
}
