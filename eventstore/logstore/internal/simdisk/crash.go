package simdisk

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// A Loss says how much of what was not synced a crash takes away.
type Loss struct {
	data, size, names float64 // how likely the newest survives
	sector            int
	anyNames          bool  // names survive independently of each other
	torn              int64 // bytes of the last write that were carried out; -1 for all
	rnd               *rand.Rand
}

// Nothing keeps nothing that was not synced.
func Nothing() Loss { return Loss{sector: pageSize, torn: -1} }

// Everything keeps all of it, as when a process is killed.
func Everything() Loss { return Loss{data: 1, size: 1, names: 1, sector: pageSize, torn: -1} }

// Torn keeps everything, but only the first n bytes of the last write, if the
// last operation is one.
func Torn(n int64) Loss {
	l := Everything()
	l.torn = n
	return l
}

// Random draws from rnd what survives: any pages or sectors in any of the
// states that they were in since they were synced, any size, changes of names
// up to one of them. The last write may be torn at any byte.
func Random(rnd *rand.Rand) Loss {
	odds := func() float64 { return []float64{0, 0.2, 0.5, 0.8, 1}[rnd.IntN(5)] }
	l := Loss{data: odds(), size: odds(), names: odds(), sector: pageSize, torn: -1, rnd: rnd}
	if rnd.IntN(2) == 0 {
		l.sector = sectorSize
	}
	return l
}

// AnyNames is l where changes of names in one directory survive independently
// of each other, which no journaling file system does but nothing forbids.
func (l Loss) AnyNames() Loss {
	l.anyNames = true
	return l
}

// pick returns how many of n changes survive.
func (l *Loss) pick(odds float64, n int) int {
	switch {
	case n == 0 || odds == 0:
		return 0
	case odds == 1 || l.rnd.Float64() < odds:
		return n
	}
	return l.rnd.IntN(n + 1)
}

// A Replay goes through what happened to a disk, operation by operation.
type Replay struct {
	journal []record
	state   *state
}

// Replay returns a replay of what has happened until now, before its first
// operation. The disk may be used meanwhile.
func (d *Disk) Replay() *Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Replay{d.journal[:len(d.journal):len(d.journal)], d.first.clone()}
}

// Next carries out the next operation, and reports whether there was one.
func (r *Replay) Next() bool {
	if r.state.seq == len(r.journal) {
		return false
	}
	r.state.apply(&r.journal[r.state.seq])
	return true
}

// To goes on until so many operations are done, or all.
func (r *Replay) To(operations int) {
	for r.state.seq < operations && r.Next() {
		continue
	}
}

// Done returns the number of operations carried out.
func (r *Replay) Done() int { return r.state.seq }

// Op returns the last operation carried out.
func (r *Replay) Op() Op {
	if r.state.seq == 0 {
		return Op{}
	}
	return r.journal[r.state.seq-1].op
}

// Crash writes to the directory dir, which it makes, what is left after a
// crash now. The same loss from the same random numbers leaves the same.
func (r *Replay) Crash(dir string, loss Loss) error {
	if op := r.Op(); op.Kind != Write {
		loss.torn = -1
	} else if loss.rnd != nil && loss.rnd.IntN(2) == 0 {
		loss.torn = loss.rnd.Int64N(op.Len + 1)
	}
	first := make(map[int]string) // a path of each file
	for _, name := range slices.Sorted(maps.Keys(r.state.dirs)) {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		names := r.state.dirs[name].after(&loss)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			file, ino := filepath.Join(at, name), names[name]
			if there := first[ino]; there != "" {
				if err := os.Link(there, file); err != nil {
					return err
				}
				continue
			}
			first[ino] = file
			if err := r.file(file, r.state.inodes[ino], &loss); err != nil {
				return fmt.Errorf("crash of %s: %w", file, err)
			}
		}
	}
	return nil
}

// after returns the names that survive.
func (d *directory) after(l *Loss) map[string]int {
	names := maps.Clone(d.safe)
	n := len(d.changes)
	if !l.anyNames {
		n = l.pick(l.names, n)
	}
	for _, c := range d.changes[:n] {
		if !l.anyNames || l.pick(l.names, 1) == 1 {
			c.apply(names)
		}
	}
	return names
}

// file writes what survives of a file.
func (r *Replay) file(path string, i *inode, l *Loss) error {
	size := i.size
	if n := l.pick(l.size, len(i.sizes)); n > 0 {
		size = i.sizes[n-1].size
		if last := r.Op(); l.torn >= 0 && i.sizes[n-1].seq == r.state.seq {
			size = last.Off + l.torn
			if n > 1 {
				size = max(size, i.sizes[n-2].size)
			} else {
				size = max(size, i.size)
			}
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for _, at := range slices.Sorted(maps.Keys(i.pages)) {
		p := i.pages[at]
		if l.torn >= 0 {
			p = p.tear(r.state.seq, int(max(r.Op().Off+l.torn-at*pageSize, 0)))
		}
		b := p.content(l.sector, func(n int) int { return l.pick(l.data, n) })
		b = b[:max(min(pageSize, size-at*pageSize), 0)]
		if b = bytes.TrimRight(b, "\x00"); len(b) == 0 {
			continue // a hole
		}
		if _, err := f.WriteAt(b, at*pageSize); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}

// tear returns p without what a change wrote at offset end and behind it.
func (p *page) tear(seq, end int) *page {
	t := &page{p.safe, slices.Clone(p.changes)}
	for n := range t.changes {
		if c := &t.changes[n]; c.seq == seq {
			c.data = c.data[:max(min(len(c.data), end-c.off), 0)]
		}
	}
	return t
}
