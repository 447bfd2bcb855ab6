package logstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

type verifier struct {
	opts   VerifyOptions
	dir    string
	report VerifyReport

	storeID  eventstore.ID
	next     eventstore.Position           // where the next segment is due to begin; 0 when that is not known
	versions map[uint64]eventstore.Version // last ones, by a hash of the stream's name
	seed     maphash.Seed
	gaps     bool // the beginnings of streams may be missing
	done     int64
	total    int64
}

// settled repeats the whole when the files were replaced meanwhile, by a
// scavenge or a close, because what does not fit together then is no damage.
func (v *verifier) settled(ctx context.Context) error {
	const attempts = 4
	for i := 1; ; i++ {
		before, err := v.fingerprint()
		if err == nil {
			err = v.run(ctx)
		}
		if err != nil || len(v.report.Damages) == 0 || i == attempts {
			return err
		}
		after, err := v.fingerprint()
		if err != nil || bytes.Equal(before, after) {
			return err
		}
	}
}

// fingerprint returns the names of all files and how they begin. Of the last
// segment it has some events, if there are any.
func (v *verifier) fingerprint() ([]byte, error) {
	entries, err := v.opts.fs.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range entries {
		all = append(append(all, e.Name()...), 0)
		if e.Name() == lockFile {
			continue
		}
		err := v.reading(filepath.Join(v.dir, e.Name()), func(f disk.File) error {
			h := make([]byte, indexHeader)
			n, _ := f.ReadAt(h, 0) // what cannot be read is found later
			all = append(all, h[:n]...)
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return all, nil
}

// reading calls do with an open file.
func (v *verifier) reading(path string, do func(disk.File) error) error {
	f, err := v.opts.fs.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

func (v *verifier) run(ctx context.Context) error {
	v.report, v.versions, v.next, v.gaps = VerifyReport{}, make(map[uint64]eventstore.Version), 1, false
	v.storeID, v.done, v.total = eventstore.ID{}, 0, 0
	checks, err := v.segments()
	if err != nil {
		return err
	}
	for _, w := range checks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.run(ctx); err != nil {
			return err
		}
		v.done += w.bytes
	}
	v.report.Streams = len(v.versions)
	return nil
}

// segments returns a check of each segment, in order.
func (v *verifier) segments() ([]*segmentCheck, error) {
	l, err := list(v.opts.fs, v.dir)
	if err != nil {
		return nil, err
	}
	if len(l.segments) == 0 {
		return nil, &eventstore.InvalidError{What: "directory", Value: v.dir, Remedy: "it holds no store"}
	}
	checks := make([]*segmentCheck, len(l.segments))
	for i, path := range l.segments {
		w := &segmentCheck{v: v, path: path, last: i == len(checks)-1}
		if !w.last {
			w.following = firstOf(l.segments[i+1])
		}
		err := v.reading(path, func(f disk.File) (err error) {
			w.bytes, err = dataBytes(f)
			return err
		})
		if err != nil {
			return nil, err
		}
		v.total += w.bytes
		checks[i] = w
	}
	return checks, nil
}

func (v *verifier) damage(file string, off int64, index bool, format string, args ...any) {
	if len(v.report.Damages) == v.opts.Limit {
		v.report.More++
		return
	}
	v.report.Damages = append(v.report.Damages, Damage{file, off, fmt.Sprintf(format, args...), index})
}

// dataBytes returns how much of a sparse file there is.
func dataBytes(f disk.File) (n int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	for off := int64(0); off < size; {
		from, to, err := f.Data(off)
		if err != nil {
			return 0, err
		}
		n += to - from
		off = to
	}
	return n, nil
}

// firstOf returns the first position of a segment, which its name says.
func firstOf(path string) eventstore.Position {
	var first eventstore.Position
	_, _ = fmt.Sscanf(filepath.Base(path), "%d", &first) // the name has digits
	return first
}
