package simdisk

import (
	"maps"
	"path"
	"slices"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// A record is an operation of the journal with what it takes to repeat it.
type record struct {
	op      Op
	ino     int              // the file that it is about
	data    []byte           // of a Write
	since   int              // of a Sync or SyncDir: the number of records before it began
	dropped map[int64][]byte // of a failed Sync: pages that went back to this content
}

// A state is the disk after a part of the journal: what is safe, and what is
// in memory only.
type state struct {
	seq    int // records applied
	inodes map[int]*inode
	dirs   map[string]*directory
}

// An inode is a file whatever its names.
type inode struct {
	size  int64       // that is safe
	sizes []sizeAfter // that are not, oldest first
	pages map[int64]*page
}

type sizeAfter struct {
	seq  int
	size int64
}

// A page is a page of a file: what is safe, and the changes since.
type page struct {
	safe    []byte // nil for zeros; never modified
	changes []change
}

// A change is the part of a write that lies in one page.
type change struct {
	seq   int
	off   int // in the page
	data  []byte
	clean bool // a sync failed: the system takes the page for clean, and it may not be on the disk
}

// A directory has names that are safe, and changes of names that are not.
type directory struct {
	safe    map[string]int
	changes []nameChange
}

type nameChange struct {
	seq  int
	drop string // "" for none
	add  string // "" for none
	ino  int
}

func (c nameChange) apply(names map[string]int) {
	if c.drop != "" && names[c.drop] == c.ino {
		delete(names, c.drop)
	}
	if c.add != "" {
		names[c.add] = c.ino
	}
}

func newState() *state {
	return &state{inodes: make(map[int]*inode), dirs: map[string]*directory{".": newDirectory()}}
}

func newDirectory() *directory { return &directory{safe: make(map[string]int)} }

// clone returns a copy that can change on its own.
func (s *state) clone() *state {
	c := &state{seq: s.seq, inodes: make(map[int]*inode), dirs: make(map[string]*directory)}
	for n, i := range s.inodes {
		d := &inode{size: i.size, sizes: slices.Clone(i.sizes), pages: make(map[int64]*page)}
		for at, p := range i.pages {
			d.pages[at] = &page{p.safe, slices.Clone(p.changes)}
		}
		c.inodes[n] = d
	}
	for name, d := range s.dirs {
		c.dirs[name] = &directory{maps.Clone(d.safe), slices.Clone(d.changes)}
	}
	return c
}

// apply carries out one record of the journal.
func (s *state) apply(r *record) {
	s.seq++
	dir, name := path.Dir(r.op.Path), path.Base(r.op.Path)
	switch i := s.inodes[r.ino]; r.op.Kind {
	case Create:
		s.inodes[r.ino] = &inode{pages: make(map[int64]*page)}
		s.rename(dir, nameChange{add: name, ino: r.ino})
	case Write:
		i.write(s.seq, r.op.Off, r.data)
	case Truncate:
		i.truncate(s.seq, r.op.Len)
	case Sync:
		i.sync(r)
	case Rename:
		s.rename(dir, nameChange{drop: name, add: path.Base(r.op.To), ino: r.ino})
	case Link:
		s.rename(path.Dir(r.op.To), nameChange{add: path.Base(r.op.To), ino: r.ino})
	case Remove:
		s.rename(dir, nameChange{drop: name, ino: r.ino})
	case SyncDir:
		if !r.op.Failed {
			s.dirs[r.op.Path].sync(r.since)
		}
	case MkdirAll:
		for d := r.op.Path; s.dirs[d] == nil; d = path.Dir(d) {
			s.dirs[d] = newDirectory()
		}
	}
}

func (s *state) rename(dir string, c nameChange) {
	c.seq = s.seq
	d := s.dirs[dir]
	d.changes = append(d.changes, c)
}

func (d *directory) sync(since int) {
	n := 0
	for n < len(d.changes) && d.changes[n].seq <= since {
		d.changes[n].apply(d.safe)
		n++
	}
	d.changes = d.changes[n:]
}

// last returns the size as a running system shows it.
func (i *inode) last() int64 {
	if len(i.sizes) > 0 {
		return i.sizes[len(i.sizes)-1].size
	}
	return i.size
}

func (i *inode) write(seq int, off int64, data []byte) {
	if end := off + int64(len(data)); end > i.last() {
		i.sizes = append(i.sizes, sizeAfter{seq, end})
	}
	for len(data) > 0 {
		at, in := off/pageSize, off%pageSize
		n := min(int64(len(data)), pageSize-in)
		p := i.pages[at]
		if p == nil {
			p = new(page)
			i.pages[at] = p
		}
		p.changes = append(p.changes, change{seq: seq, off: int(in), data: data[:n]})
		off, data = off+n, data[n:]
	}
}

var zeros [pageSize]byte

func (i *inode) truncate(seq int, size int64) {
	if size == i.last() {
		return
	}
	i.sizes = append(i.sizes, sizeAfter{seq, size})
	for at, p := range i.pages {
		if in := max(size-at*pageSize, 0); in < pageSize {
			p.changes = append(p.changes, change{seq: seq, off: int(in), data: zeros[in:]})
		}
	}
}

// sync makes safe what the system takes for dirty and what was there when the
// sync began, or after a failure takes it for clean.
func (i *inode) sync(r *record) {
	for at, p := range i.pages {
		if r.op.Failed {
			p.fail(r.since)
			if safe, ok := r.dropped[at]; ok {
				*p = page{safe: safe}
			}
			continue
		}
		p.sync(r.since)
	}
	if r.op.Failed {
		return
	}
	n := 0
	for n < len(i.sizes) && i.sizes[n].seq <= r.since {
		i.size = i.sizes[n].size
		n++
	}
	i.sizes = i.sizes[n:]
}

func (p *page) fail(since int) {
	for n := range p.changes {
		if p.changes[n].seq <= since {
			p.changes[n].clean = true
		}
	}
}

// sync writes the whole page to the disk if it is dirty.
func (p *page) sync(since int) {
	n, dirty := 0, false
	for n < len(p.changes) && p.changes[n].seq <= since {
		dirty = dirty || !p.changes[n].clean
		n++
	}
	if !dirty {
		return
	}
	b := p.content(pageSize, func(int) int { return n })
	p.safe, p.changes = b, p.changes[n:]
}

// content returns the page when of each sector so many changes have reached
// the disk as choose says.
func (p *page) content(sector int, choose func(n int) int) []byte {
	b := make([]byte, pageSize)
	copy(b, p.safe)
	for from := 0; from < pageSize; from += sector {
		to := from + sector
		n := len(p.changes)
		if n == 0 {
			return b
		}
		for _, c := range p.changes[:choose(n)] {
			lo, hi := max(c.off, from), min(c.off+len(c.data), to)
			if lo < hi {
				copy(b[lo:hi], c.data[lo-c.off:])
			}
		}
	}
	return b
}
