package keydir

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// An Entry is what is known of a subject without its id.
type Entry struct {
	File   string      // base name of the subject's file, see [Dir.FileOf]
	ID     shred.KeyID // of the current key, or the last one if that is erased
	Keys   int         // how many keys the subject has had
	Made   time.Time   // when the key was made, UTC; zero if there never was one
	Erased time.Time   // when it was erased, UTC; zero if it is not
	Master string      // name of the master key that it is encrypted with; empty if none
}

// FileOf returns the base name of the file that a subject has, or would have.
func (d *Dir) FileOf(subject string) string { return d.file(subject) }

// MasterName returns the name of the master key that new keys are encrypted
// with; empty if none.
func (d *Dir) MasterName() string {
	if m := d.master(); m != nil {
		return hex.EncodeToString(m.name[:])
	}
	return ""
}

// Entry returns what is known of a subject: nothing but the name of the file if
// that is not there.
func (d *Dir) Entry(subject string) (Entry, error) {
	e := Entry{File: d.file(subject)}
	records, err := d.read(e.File)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err == nil {
		e.of(records)
	}
	return e, err
}

// Entries yields all subjects, in no order. A file that is damaged is an error
// in its place, and others go on. It needs no master key.
func (d *Dir) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for file, err := range d.files(ctx) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			records, err := d.read(file)
			e := Entry{File: file}
			if err == nil {
				e.of(records)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (e *Entry) of(records []record) {
	r := &records[len(records)-1]
	e.ID = r.id
	for i := range records {
		if !records[i].id.IsZero() {
			e.Keys++
		}
	}
	if r.made != 0 {
		e.Made = time.Unix(0, r.made).UTC()
	}
	if r.state == stateErased {
		e.Erased = time.Unix(0, r.erased).UTC()
	}
	if r.wrapped {
		e.Master = hex.EncodeToString(r.master[:])
	}
}

// files yields the names of the subjects' files.
func (d *Dir) files(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := range 256 {
			shard := fmt.Sprintf("%02x", i)
			entries, err := os.ReadDir(filepath.Join(d.dir, shard))
			if err != nil {
				yield("", fmt.Errorf("keydir: %w", err))
				return
			}
			for _, e := range entries {
				if !isKeyFile(shard, e.Name()) {
					continue
				}
				if err := ctx.Err(); err != nil {
					yield("", err)
					return
				}
				if !yield(e.Name(), nil) {
					return
				}
			}
		}
	}
}

// Rotate encrypts all keys with Options.Master that are not yet, and returns
// how many those were. It may be interrupted and called again, while other
// processes use the directory, if those know both master keys. The old master
// key can be destroyed when no process needs it any more.
func (d *Dir) Rotate(ctx context.Context) (changed int, err error) {
	for file, err := range d.files(ctx) {
		if err != nil {
			return changed, err
		}
		done, err := d.rewrap(file)
		if err != nil {
			return changed, fmt.Errorf("keydir: rotate: %w", err)
		}
		if done {
			changed++
		}
	}
	return changed, nil
}

func (d *Dir) rewrap(file string) (done bool, err error) {
	to := d.master()
	fits := func(r *record) bool {
		return r.state == stateErased || r.wrapped == (to != nil) && (to == nil || r.master == to.name)
	}
	records, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fits(&records[len(records)-1]) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = d.change(file, func(records []record) ([]record, error) {
		last := &records[len(records)-1]
		if fits(last) {
			return nil, nil
		}
		secret, err := last.unwrap(d.usable(), file)
		if err != nil {
			return nil, err
		}
		last.wrap(to, file, secret)
		done = true
		return records, nil
	})
	return done, err
}
