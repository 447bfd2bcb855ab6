package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// link puts a new file with data under a path, as a whole and on the disk, and
// reports whether it did: not if there is one already.
func (d *Dir) link(path string, data []byte) (bool, error) {
	tmp, err := d.write(data)
	if err != nil {
		return false, err
	}
	err = os.Link(tmp, path)
	made := err == nil
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return made, errors.Join(err, os.Remove(tmp), syncDir(filepath.Dir(path)))
}

// write makes a file of its own and forces it to the disk.
func (d *Dir) write(data []byte) (path string, err error) {
	f, err := os.CreateTemp(filepath.Join(d.dir, tmpDir), "key-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// lock opens the file of a subject and makes this the only one that changes
// it, until it is closed.
func lock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		for {
			if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		same, err := isAt(f, path)
		if same {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// isAt reports whether f is still what is found under its path.
func isAt(f *os.File, path string) (bool, error) {
	here, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(here, there), err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
