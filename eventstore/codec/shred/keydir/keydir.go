package keydir

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// Options configure [Open]. The zero value keeps keys as they are.
type Options struct {
	// Master encrypts the keys, see [ParseMaster]. Do not keep it beside them.
	Master []byte
	// Old are former master keys, with which keys can still be read. Rotate
	// makes them dispensable.
	Old [][]byte
	// MustExist refuses to make the directory. Set it where an empty one can
	// only mean that the right one was not mounted.
	MustExist bool
	// Now is the clock; default [time.Now].
	Now func() time.Time
}

// A Dir is a directory of keys. It holds nothing open.
type Dir struct {
	dir     string
	salt    []byte
	masters []*master // the first encrypts
	now     func() time.Time
}

var _ shred.KeyStore = (*Dir)(nil)

const (
	storeFile   = "store"
	tmpDir      = "tmp"
	storeFormat = "foldstream keys 1\nsalt %x\n"
	saltSize    = 32
)

// Open opens a directory of keys, which it makes if it is missing or empty.
func Open(dir string, opts *Options) (*Dir, error) {
	if opts == nil {
		opts = &Options{}
	}
	d := &Dir{dir: dir, now: opts.Now}
	if d.now == nil {
		d.now = time.Now
	}
	keys := opts.Old
	if opts.Master != nil {
		keys = append([][]byte{opts.Master}, keys...)
	} else if len(keys) > 0 {
		d.masters = []*master{nil} // keys are written as they are, and read with the old ones
	}
	for _, key := range keys {
		m, err := newMaster(key)
		if err != nil {
			return nil, err
		}
		d.masters = append(d.masters, m)
	}
	err := d.open(opts.MustExist)
	if err != nil {
		return nil, fmt.Errorf("keydir: open %s: %w", dir, err)
	}
	return d, nil
}

func (d *Dir) open(mustExist bool) error {
	text, err := os.ReadFile(filepath.Join(d.dir, storeFile))
	if errors.Is(err, fs.ErrNotExist) {
		if mustExist {
			return fmt.Errorf("it holds no keys, and Options.MustExist is set: %w", err)
		}
		if err = d.create(); err == nil {
			text, err = os.ReadFile(filepath.Join(d.dir, storeFile))
		}
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(string(text), storeFormat, &d.salt); err != nil || len(d.salt) != saltSize {
		return fmt.Errorf("file %s is not of a known format", storeFile)
	}
	return d.sweep()
}

// create makes the directory. Of several processes that do one succeeds, and
// the others use what it has made.
func (d *Dir) create() error {
	entries, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := d.ours(e.Name()); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(d.dir, tmpDir), 0o700); err != nil {
		return err
	}
	for i := range 256 {
		if err := os.Mkdir(filepath.Join(d.dir, fmt.Sprintf("%02x", i)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	_, err = d.link(filepath.Join(d.dir, storeFile), fmt.Appendf(nil, storeFormat, salt))
	if err == nil {
		err = syncDir(filepath.Dir(filepath.Clean(d.dir)))
	}
	return err
}

// ours returns an error for what an interrupted create has not left.
func (d *Dir) ours(name string) error {
	if name == tmpDir || name == storeFile {
		return nil
	}
	if _, err := hex.DecodeString(name); err != nil || len(name) != 2 {
		return &eventstore.InvalidError{What: "directory", Value: d.dir, Remedy: fmt.Sprintf("it holds %s and no keys; choose one that is empty or does not exist", name)}
	}
	keys, err := os.ReadDir(filepath.Join(d.dir, name))
	if err == nil && len(keys) > 0 {
		err = &eventstore.CorruptError{File: filepath.Join(d.dir, storeFile), Reason: "it is missing, and without it nobody can tell whose the keys are"}
	}
	return err
}

// sweep removes what processes left that were killed while they wrote.
func (d *Dir) sweep() error {
	entries, err := os.ReadDir(filepath.Join(d.dir, tmpDir))
	for _, e := range entries {
		if info, statErr := e.Info(); statErr == nil && time.Since(info.ModTime()) > time.Hour {
			err = errors.Join(err, os.Remove(filepath.Join(d.dir, tmpDir, e.Name())))
		}
	}
	return err
}

// file returns the name of a subject's file, which says nothing of it.
func (d *Dir) file(subject string) string {
	h := hmac.New(sha256.New, d.salt)
	h.Write([]byte(subject))
	return hex.EncodeToString(h.Sum(nil))
}

func (d *Dir) path(file string) string { return filepath.Join(d.dir, file[:2], file) }

// Find implements [shred.KeyStore].
func (d *Dir) Find(_ context.Context, subject string) (shred.Keys, error) {
	file := d.file(subject)
	records, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return shred.Keys{}, nil
	}
	if err != nil {
		return shred.Keys{}, err
	}
	return d.keysOf(file, records)
}

// read returns the records of a file. One that does not fit may be in the
// midst of being overwritten, so it is looked at again.
func (d *Dir) read(file string) (records []record, err error) {
	for range 10 {
		var data []byte
		if data, err = os.ReadFile(d.path(file)); err != nil {
			return nil, fmt.Errorf("keydir: %w", err)
		}
		if records, err = parse(data); err == nil {
			return records, nil
		}
	}
	return nil, d.damaged(file, err)
}

func (d *Dir) damaged(file string, err error) error {
	return &eventstore.CorruptError{File: d.path(file), Reason: err.Error()}
}

func (d *Dir) keysOf(file string, records []record) (keys shred.Keys, err error) {
	for i := range records {
		r := &records[i]
		if r.state == stateErased {
			if !r.id.IsZero() {
				keys.Erased = append(keys.Erased, r.id)
			}
			keys.Since = time.Unix(0, r.erased).UTC()
			continue
		}
		keys.Current.ID = r.id
		keys.Current.Secret, err = r.unwrap(d.usable(), file)
		if errors.Is(err, errDamaged) {
			err = d.damaged(file, err)
		}
		if err != nil {
			return shred.Keys{}, err
		}
	}
	return keys, nil
}

// usable are the master keys that there are.
func (d *Dir) usable() []*master {
	return slices.DeleteFunc(slices.Clone(d.masters), func(m *master) bool { return m == nil })
}

// Make implements [shred.KeyStore].
func (d *Dir) Make(ctx context.Context, subject string) (shred.Keys, error) {
	file := d.file(subject)
	for {
		keys, err := d.Find(ctx, subject)
		switch {
		case err != nil:
			return keys, err
		case keys.Gone():
			return keys, &shred.ErasedError{Subject: subject}
		case !keys.Current.ID.IsZero():
			return keys, syncDir(filepath.Dir(d.path(file))) // another process may just have made it
		}
		if _, err := d.link(d.path(file), d.newKey(file).append(nil)); err != nil {
			return shred.Keys{}, fmt.Errorf("keydir: make a key: %w", err)
		}
	}
}

func (d *Dir) newKey(file string) *record {
	key := shred.NewKey()
	r := &record{state: stateKey, id: key.ID, made: d.now().UnixNano()}
	r.wrap(d.master(), file, key.Secret)
	return r
}

// master is what keys are encrypted with, or nil.
func (d *Dir) master() *master {
	if len(d.masters) == 0 {
		return nil
	}
	return d.masters[0]
}

// Erase implements [shred.KeyStore].
func (d *Dir) Erase(_ context.Context, subject string) error {
	if err := d.erase(d.file(subject)); err != nil {
		return fmt.Errorf("keydir: erase a key: %w", err)
	}
	return nil
}

func (d *Dir) erase(file string) error {
	for {
		f, err := lock(d.path(file))
		if err == nil {
			return errors.Join(d.overwrite(f), f.Close())
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		never := record{state: stateErased, erased: d.now().UnixNano()}
		if made, err := d.link(d.path(file), never.append(nil)); made || err != nil {
			return err
		}
	}
}

// overwrite erases all keys of a file where they are. A damaged file ends up
// erased, too, because nothing can be read with it anyway.
func (d *Dir) overwrite(f *os.File) error {
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	records, err := parse(data)
	if err != nil {
		records = make([]record, max(1, len(data)/recordSize))
	}
	for i := range records {
		if r := &records[i]; r.state != stateErased {
			r.erase(d.now())
			if _, err := f.WriteAt(r.append(nil), int64(i)*recordSize); err != nil {
				return err
			}
		}
	}
	err = f.Truncate(int64(len(records)) * recordSize)
	// Also if it was erased before: that may not have reached the disk. The
	// directory, because the file may have been made just now.
	return errors.Join(err, f.Sync(), syncDir(filepath.Dir(f.Name())))
}

// Admit implements [shred.KeyStore].
func (d *Dir) Admit(ctx context.Context, subject string) (shred.Keys, error) {
	keys, err := d.Make(ctx, subject)
	if !errors.Is(err, shred.ErrErased) {
		return keys, err
	}
	file := d.file(subject)
	err = d.change(file, func(records []record) ([]record, error) {
		if records[len(records)-1].state == stateKey {
			return nil, nil // another process was faster
		}
		return append(records, *d.newKey(file)), nil
	})
	if err != nil {
		return shred.Keys{}, fmt.Errorf("keydir: admit a subject again: %w", err)
	}
	return d.Find(ctx, subject)
}

// change puts other records in the place of a file's, unless they are nil.
func (d *Dir) change(file string, do func([]record) ([]record, error)) error {
	f, err := lock(d.path(file))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what counts is synced
	records, err := d.read(file)
	if err != nil {
		return err
	}
	if records, err = do(records); records == nil || err != nil {
		return err
	}
	var data []byte
	for i := range records {
		data = records[i].append(data)
	}
	tmp, err := d.write(data)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, d.path(file)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := syncDir(filepath.Dir(d.path(file))); err != nil {
		return err
	}
	// What was there before is gone from the directory, and here from the disk.
	_, err = f.WriteAt(make([]byte, len(data)), 0)
	return errors.Join(err, f.Sync())
}

// isKeyFile tells the files of subjects from others.
func isKeyFile(shard, name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == 2*sha256.Size && strings.HasPrefix(name, shard)
}
