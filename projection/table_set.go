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

func (s *setMembers) flush(b *Batch) error {
	entries := s.takeOff()
	s.out = s.out[:0]
	for i := range entries {
		e := &entries[i]
		s.out = append(s.out, SetChange{Key: e.Key, Member: e.Member, Remove: e.Remove})
	}
	if len(s.out) > 0 {
		b.Sets = append(b.Sets, SetChanges{Collection: s.name, Changes: s.out})
	}
	return nil
}
