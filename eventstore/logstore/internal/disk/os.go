package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OS is the file system of the machine.
type OS struct{}

var _ FS = OS{}

// Open implements [FS].
func (OS) Open(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// MkdirAll implements [FS].
func (o OS) MkdirAll(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// ReadDir implements [FS].
func (OS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Link implements [FS].
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Remove implements [FS].
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncDir implements [FS].
func (OS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

type osFile struct {
	*os.File
	locked bool
}

func (f *osFile) Datasync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Data(off int64) (from, to int64, err error) {
	size, err := f.Size()
	if err != nil || off >= size {
		return size, size, err
	}
	fd := int(f.Fd())
	from, err = unix.Seek(fd, off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil:
		return off, size, nil //nolint:nilerr // the file system cannot tell
	}
	if to, err = unix.Seek(fd, from, unix.SEEK_HOLE); err != nil {
		to = size
	}
	return from, to, nil
}

func (f *osFile) Map(size int64) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return data, nil
}

func (f *osFile) Unmap(data []byte) error { return unix.Munmap(data) }

func (f *osFile) TryLock() (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	f.locked = err == nil
	return f.locked, err
}

// Close closes the file. A process that is just being started may hold a copy
// of the descriptor for a moment, so that closing alone would not unlock it.
func (f *osFile) Close() error {
	var err error
	if f.locked {
		err = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	return errors.Join(err, f.File.Close())
}
