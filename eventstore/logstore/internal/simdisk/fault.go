package simdisk

import (
	"fmt"
	"io/fs"
	"path"
	"syscall"
)

// A Fault is something that goes wrong. See [Disk.Inject].
type Fault struct {
	Kind  Kind   // 0 for all that change the disk
	Path  string // pattern of the file's name as for [path.Match]; "" for every file
	After int    // so many operations succeed before
	Times int    // so many fail; 0 for all from then on
	Err   error  // wrapped in the error; default EIO
	Done  bool   // it is carried out and fails all the same; a Sync has then synced
	Short int    // of a Write: so many bytes are written
	Drop  bool   // of a Sync: the system forgets what it did not bring to the disk, at once

	hits int // failures so far; guarded by Disk.mu
}

func (f *Fault) error(op Op) error {
	err := f.Err
	if err == nil {
		err = syscall.EIO
	}
	return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
}

func noSpace(op Op) error { return (&Fault{Err: syscall.ENOSPC}).error(op) }

// Inject makes operations fail from now on, as f says. Of several faults for
// the same operation the first injected counts.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
}

// Heal takes back all faults, limits of space and broken ranges in files that
// are not mapped now.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.space = nil, -1
	clear(d.bad)
}

// Hits returns how many operations have failed because of faults that are
// still in force.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, f := range d.faults {
		n += f.hits
	}
	return n
}

// failing returns the fault that hits op, or nil; the lock is held.
func (d *Disk) failing(op Op) *Fault {
	for _, f := range d.faults {
		if f.Kind != op.Kind && (f.Kind != 0 || op.Kind >= Read) || f.Times > 0 && f.hits == f.Times {
			continue
		}
		if ok, _ := path.Match(f.Path, path.Base(op.Path)); !ok && f.Path != "" {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		f.hits++
		return f
	}
	return nil
}

// Before lets do be called before every operation, on the goroutine that asks
// for it; do may block, and may use the disk. nil takes it back.
func (d *Disk) Before(do func(op Op)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = do
}

func (d *Disk) before(op Op) {
	d.mu.Lock()
	hook := d.hook
	d.mu.Unlock()
	if hook != nil {
		hook(op)
	}
}

// SetSpace leaves room for so many bytes, in whole pages that a file does not
// have yet; holes take none. Writes beyond it are short and fail with ENOSPC.
func (d *Disk) SetSpace(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = bytes / pageSize * pageSize
}

// room takes the space for a write of n bytes, and returns how many of them
// fit; the lock is held.
func (d *Disk) room(ino int, off int64, n int) int {
	used := d.used[ino]
	for at := off / pageSize; at*pageSize < off+int64(n); at++ {
		switch {
		case used[at]:
			continue
		case d.space == 0:
			return int(max(at*pageSize-off, 0))
		case d.space > 0:
			d.space -= pageSize
		}
		used[at] = true
	}
	return n
}

// free gives back the space of a file behind size; the lock is held.
func (d *Disk) free(ino int, size int64) {
	for at := range d.used[ino] {
		if at*pageSize >= size {
			delete(d.used[ino], at)
			if d.space >= 0 {
				d.space += pageSize
			}
		}
	}
}

// Break makes the pages of n bytes of a file from off unreadable: reading them
// fails with EIO, and in mappings, also those that exist, they fault.
func (d *Disk) Break(file string, off, n int64) error {
	name, err := d.rel(file)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ino := d.names[name]
	if ino == 0 {
		return fmt.Errorf("simdisk: break %s: no such file", name)
	}
	bad := span{off / pageSize * pageSize, (off + n + pageSize - 1) / pageSize * pageSize}
	d.bad[ino] = append(d.bad[ino], bad)
	for _, m := range d.maps {
		if m.ino == ino {
			if err := m.protect(bad); err != nil {
				return err
			}
		}
	}
	return nil
}
