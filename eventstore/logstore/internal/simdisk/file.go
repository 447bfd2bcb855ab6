package simdisk

import (
	"slices"
	"syscall"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A file is an open file of a [Disk].
type file struct {
	disk.File
	d    *Disk
	ino  int
	name string // when it was opened
}

type span struct{ from, to int64 }

type mapping struct {
	ino  int
	data []byte
}

// op returns an operation on the file under the name that it has now.
func (f *file) op(k Kind, off, n int64) Op {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.names[f.name] != f.ino {
		for name, ino := range f.d.names {
			if ino == f.ino {
				f.name = name
			}
		}
	}
	return Op{Kind: k, Path: f.name, Off: off, Len: n}
}

// ReadAt fails where [Disk.Break] said so.
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	op := f.op(Read, off, int64(len(b)))
	f.d.before(op)
	f.d.mu.Lock()
	fault := f.d.failing(op)
	for _, bad := range f.d.bad[f.ino] {
		if off < bad.to && bad.from < off+int64(len(b)) {
			fault = &Fault{Err: syscall.EIO}
		}
	}
	f.d.mu.Unlock()
	if fault != nil {
		return 0, fault.error(op)
	}
	return f.File.ReadAt(b, off)
}

// WriteAt is in the journal with what it has written.
func (f *file) WriteAt(b []byte, off int64) (int, error) {
	op := f.op(Write, off, int64(len(b)))
	f.d.before(op)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := len(b), error(nil)
	if fault := f.d.failing(op); fault != nil {
		if err = fault.error(op); !fault.Done {
			n = min(n, fault.Short)
		}
	} else if room := f.d.room(f.ino, off, n); room < n {
		n, err = room, noSpace(op)
	}
	if n > 0 {
		if _, err := f.File.WriteAt(b[:n], off); err != nil {
			return 0, err
		}
		op.Len = int64(n)
		f.d.note(record{op: op, ino: f.ino, data: slices.Clone(b[:n])})
	}
	return n, err
}

// Datasync makes safe what was written before it was called.
func (f *file) Datasync() error {
	op := f.op(Sync, 0, 0)
	since := f.d.Len()
	f.d.before(op)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	r := record{op: op, ino: f.ino, since: since}
	fault := f.d.failing(op)
	if fault == nil {
		f.d.note(r)
		return nil
	}
	r.op.Failed = !fault.Done
	if r.op.Failed && fault.Drop {
		dropped, err := f.drop(since)
		if err != nil {
			return err
		}
		r.dropped = dropped
	}
	f.d.note(r)
	return fault.error(op)
}

// drop gives up what a failed sync did not bring to the disk: of each page
// something between nothing and all is left.
func (f *file) drop(since int) (map[int64][]byte, error) {
	i, dropped := f.d.live.inodes[f.ino], make(map[int64][]byte)
	for at, p := range i.pages {
		n := 0
		for n < len(p.changes) && p.changes[n].seq <= since {
			n++
		}
		if n == 0 || n < len(p.changes) { // written meanwhile
			continue
		}
		b := p.content(pageSize, func(n int) int { return f.d.rnd.IntN(n + 1) })
		dropped[at] = b
		if b = b[:min(pageSize, max(i.last()-at*pageSize, 0))]; len(b) > 0 {
			if _, err := f.File.WriteAt(b, at*pageSize); err != nil {
				return nil, err
			}
		}
	}
	return dropped, nil
}

// Truncate is in the journal.
func (f *file) Truncate(size int64) error {
	op := f.op(Truncate, 0, size)
	f.d.before(op)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	fault := f.d.failing(op)
	if fault != nil && !fault.Done {
		return fault.error(op)
	}
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.d.note(record{op: op, ino: f.ino})
	f.d.free(f.ino, size)
	if fault != nil {
		return fault.error(op)
	}
	return nil
}

// Map remembers the mapping, for [Disk.Break].
func (f *file) Map(size int64) ([]byte, error) {
	op := f.op(Map, 0, size)
	f.d.before(op)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if fault := f.d.failing(op); fault != nil {
		return nil, fault.error(op)
	}
	data, err := f.File.Map(size)
	if err != nil {
		return nil, err
	}
	m := mapping{f.ino, data}
	f.d.maps = append(f.d.maps, m)
	for _, bad := range f.d.bad[f.ino] {
		if err := m.protect(bad); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// Unmap forgets the mapping.
func (f *file) Unmap(data []byte) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.maps = slices.DeleteFunc(f.d.maps, func(m mapping) bool { return &m.data[0] == &data[0] })
	return f.File.Unmap(data)
}

// protect lets the pages of a part of the file fault.
func (m mapping) protect(bad span) error {
	if bad.to = min(bad.to, int64(len(m.data))); bad.from >= bad.to {
		return nil
	}
	return syscall.Mprotect(m.data[bad.from:bad.to], syscall.PROT_NONE)
}
