package simdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A Disk is a [disk.FS] for the files below one directory. It is safe for
// concurrent use: changes happen one after the other, and syncs beside them.
type Disk struct {
	root string
	real disk.OS

	mu      sync.Mutex
	first   *state // before the journal
	journal []record
	live    *state
	inodes  int // given out
	names   map[string]int
	faults  []*Fault
	hook    func(Op)
	space   int64 // bytes left, -1 for no end
	used    map[int]map[int64]bool
	bad     map[int][]span
	maps    []mapping
	rnd     *rand.Rand
}

var _ disk.FS = (*Disk)(nil)

// New returns a disk for the files below root, a directory that exists. What
// is there counts as synced.
func New(root string) (*Disk, error) {
	d := &Disk{
		root: root, names: make(map[string]int), space: -1, live: newState(),
		used: make(map[int]map[int64]bool), bad: make(map[int][]span), rnd: rand.New(rand.NewPCG(1, 1)),
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return d.load(path, e)
	})
	if err != nil {
		return nil, fmt.Errorf("simdisk: %w", err)
	}
	d.first = d.live.clone()
	return d, nil
}

// load takes in what was there at the beginning.
func (d *Disk) load(path string, e fs.DirEntry) error {
	name, err := d.rel(path)
	switch {
	case err != nil:
		return err
	case e.IsDir():
		d.live.dirs[name] = newDirectory()
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d.inodes++
	i := &inode{size: int64(len(b)), pages: make(map[int64]*page)}
	d.used[d.inodes] = make(map[int64]bool)
	for at := int64(0); at*pageSize < i.size; at++ {
		safe := make([]byte, pageSize)
		copy(safe, b[at*pageSize:])
		if slices.Max(safe) > 0 {
			i.pages[at] = &page{safe: safe}
			d.used[d.inodes][at] = true
		}
	}
	d.live.inodes[d.inodes] = i
	d.live.dirs[filepath.Dir(name)].safe[filepath.Base(name)] = d.inodes
	d.names[name] = d.inodes
	return nil
}

// rel returns a path as the journal names it.
func (d *Disk) rel(path string) (string, error) {
	name, err := filepath.Rel(d.root, path)
	if err != nil || name == ".." || strings.HasPrefix(name, "../") {
		return "", fmt.Errorf("simdisk: %s is not below %s", path, d.root)
	}
	return name, nil
}

// Len returns the number of operations in the journal. What was synced before
// Len was called survives a crash after that many operations.
func (d *Disk) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.journal)
}

// Journal returns the operations so far.
func (d *Disk) Journal() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	ops := make([]Op, len(d.journal))
	for n := range ops {
		ops[n] = d.journal[n].op
	}
	return ops
}

// note adds r to the journal; the lock is held.
func (d *Disk) note(r record) {
	d.journal = append(d.journal, r)
	d.live.apply(&r)
}

// Open implements [disk.FS].
func (d *Disk) Open(path string, flag int, perm fs.FileMode) (disk.File, error) {
	name, err := d.rel(path)
	if err != nil {
		return nil, err
	}
	_, statErr := os.Lstat(path)
	op := Op{Kind: Open, Path: name}
	if flag&os.O_CREATE != 0 && errors.Is(statErr, fs.ErrNotExist) {
		op.Kind = Create
	}
	d.before(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.failing(op); f != nil {
		return nil, f.error(op)
	}
	if op.Kind == Create && d.space == 0 {
		return nil, noSpace(op)
	}
	created := d.names[name] == 0
	under, err := d.real.Open(path, flag, perm)
	if err != nil {
		return nil, err
	}
	if created {
		d.inodes++
		d.names[name], d.used[d.inodes] = d.inodes, make(map[int64]bool)
		d.note(record{op: Op{Kind: Create, Path: name}, ino: d.inodes})
	} else if flag&os.O_TRUNC != 0 {
		d.note(record{op: Op{Kind: Truncate, Path: name}, ino: d.names[name]})
		d.free(d.names[name], 0)
	}
	return &file{File: under, d: d, ino: d.names[name], name: name}, nil
}

// MkdirAll implements [disk.FS].
func (d *Disk) MkdirAll(path string) error {
	return d.change(Op{Kind: MkdirAll}, path, "", func() error { return d.real.MkdirAll(path) })
}

// ReadDir implements [disk.FS].
func (d *Disk) ReadDir(path string) (entries []fs.DirEntry, err error) {
	err = d.change(Op{Kind: ReadDir}, path, "", func() error {
		entries, err = d.real.ReadDir(path)
		return err
	})
	return entries, err
}

// Rename implements [disk.FS]. It works within one directory.
func (d *Disk) Rename(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return fmt.Errorf("simdisk: rename %s to another directory", from)
	}
	return d.change(Op{Kind: Rename}, from, to, func() error { return d.real.Rename(from, to) })
}

// Link implements [disk.FS].
func (d *Disk) Link(from, to string) error {
	return d.change(Op{Kind: Link}, from, to, func() error { return d.real.Link(from, to) })
}

// Remove implements [disk.FS].
func (d *Disk) Remove(path string) error {
	return d.change(Op{Kind: Remove}, path, "", func() error { return d.real.Remove(path) })
}

// SyncDir implements [disk.FS].
func (d *Disk) SyncDir(path string) error {
	return d.change(Op{Kind: SyncDir}, path, "", func() error {
		_, err := os.Stat(path)
		return err
	})
}

// change carries out an operation on names, unless it is to fail.
func (d *Disk) change(op Op, path, to string, do func() error) (err error) {
	if op.Path, err = d.rel(path); err != nil {
		return err
	}
	if to != "" {
		if op.To, err = d.rel(to); err != nil {
			return err
		}
	}
	since := d.Len()
	d.before(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	r := record{op: op, since: since, ino: d.names[op.Path]}
	f := d.failing(op)
	if f != nil && !f.Done {
		if op.Kind == SyncDir {
			r.op.Failed = true
			d.note(r)
		}
		return f.error(op)
	}
	if err := do(); err != nil {
		return err
	}
	d.renamed(op)
	if op.Kind < Read {
		d.note(r)
	}
	if f != nil {
		return f.error(op)
	}
	return nil
}

// renamed keeps d.names up to date.
func (d *Disk) renamed(op Op) {
	switch op.Kind {
	case Rename:
		d.names[op.To] = d.names[op.Path]
		delete(d.names, op.Path)
	case Link:
		d.names[op.To] = d.names[op.Path]
	case Remove:
		ino := d.names[op.Path]
		delete(d.names, op.Path)
		for _, other := range d.names {
			if other == ino {
				return
			}
		}
		d.free(ino, 0)
	}
}
