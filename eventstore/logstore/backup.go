package logstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// BackupOptions configure [Store.Backup]. The zero value is ready to use.
type BackupOptions struct {
	// Copy copies every segment, also where a hard link would do. A link costs
	// no space and no time, but a disk that fails takes both along.
	Copy     bool
	Progress func(Progress) // in bytes of segments

	fs disk.FS
}

// A BackupReport says what a backup holds.
type BackupReport struct {
	Events uint64              `json:"events"`
	Head   eventstore.Position `json:"head"`   // position of the last event
	Bytes  int64               `json:"bytes"`  // of segments
	Linked int                 `json:"linked"` // segments that share their bytes with the store
	Copied int                 `json:"copied"` // the others
}

// Backup makes a copy of the store in dir, which must be empty or not exist,
// while the store goes on. It holds all that was readable when Backup began,
// and so every append that was acknowledged by then, and nothing later. The
// copy is a store with the same id that can be opened; nothing has to be
// mended or cut. It has reached the disk when Backup returns.
//
// Sealed segments, which never change, are linked where the file system can do
// that; the last one is always copied. After an error, and when ctx is done,
// dir is as it was before.
func (s *Store) Backup(ctx context.Context, dir string, opts *BackupOptions) (BackupReport, error) {
	var o BackupOptions
	if opts != nil {
		o = *opts
	}
	if o.fs == nil {
		o.fs = s.opts.fs
	}
	dir, err := filepath.Abs(dir)
	var report BackupReport
	if err == nil {
		report, err = s.backup(ctx, dir, &o)
	}
	if err != nil {
		return report, fmt.Errorf("back up %s to %s: %w", s.dir, dir, err)
	}
	return report, nil
}

func (s *Store) backup(ctx context.Context, dir string, o *BackupOptions) (report BackupReport, err error) {
	v, held, events, err := s.hold()
	if err != nil {
		return report, err
	}
	defer func() {
		for _, c := range held {
			err = firstError(err, c.release())
		}
	}()
	g, err := newStaging(o.fs, dir)
	if err != nil {
		return report, err
	}
	b := &backup{s: s, staging: g, o: o, v: v}
	for _, c := range held {
		b.progress.Total += v.endOf(c)
	}
	for _, c := range held {
		if err = b.segment(ctx, c); err != nil {
			break
		}
	}
	if err == nil {
		err = g.finish()
	}
	if err != nil {
		return b.report, errors.Join(err, g.abort())
	}
	b.report.Events, b.report.Head = events, v.head
	return b.report, nil
}

// hold returns the log as it is at one moment, and what its segments hold,
// pinned.
func (s *Store) hold() (v view, held []*content, events uint64, err error) {
	s.mu.RLock() // a segment is replaced with the lock held
	defer s.mu.RUnlock()
	v = s.viewLocked()
	for _, seg := range v.segs {
		c := seg.pin()
		if c == nil {
			for _, c := range held {
				err = firstError(err, c.release())
			}
			return v, nil, 0, firstError(err, eventstore.ErrClosed)
		}
		held = append(held, c)
	}
	return v, held, s.events, nil
}

type backup struct {
	*staging

	s        *Store
	o        *BackupOptions
	v        view
	progress Progress
	report   BackupReport
}

// segment adds one segment and its index file.
func (b *backup) segment(ctx context.Context, c *content) error {
	if err := b.s.alive(ctx); err != nil {
		return err
	}
	end := b.v.endOf(c)
	to := filepath.Join(b.dir, filepath.Base(c.path))
	if c == b.v.grows {
		b.report.Copied++
		return b.copy(ctx, c, to, end)
	}
	linked, err := b.link(c, to)
	if err != nil {
		return err
	}
	if linked {
		b.report.Linked++
		b.report.Bytes += end
		b.progress.Done += end
		b.tell()
	} else {
		b.report.Copied++
		if err := b.copy(ctx, c, to, end); err != nil {
			return err
		}
	}
	x, t := c.indexes()
	if x != nil && c.indexData == nil {
		return nil // it could not be written, and is made when the copy is opened
	}
	if x == nil {
		return b.write(indexPath(to), encodeIndex(c.stamp(), c.summary(), t))
	}
	var off int64
	return guard(c, &off, func() error { return b.write(indexPath(to), c.indexData) })
}

// link links a segment, and reports false when it must be copied: where there
// are no links, and when a scavenge has just put another file in its place.
func (b *backup) link(c *content, to string) (bool, error) {
	if b.o.Copy {
		return false, nil
	}
	tmp := b.temporary(to)
	if err := b.fs.Link(c.path, tmp); err != nil {
		b.ready = b.ready[:len(b.ready)-1]
		return false, nil //nolint:nilerr // then it is copied
	}
	f, err := b.fs.Open(tmp, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	h, _, err := readHeader(tmp, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	if h.seed() == c.seed {
		return true, nil
	}
	b.ready = b.ready[:len(b.ready)-1]
	return false, b.fs.Remove(tmp)
}

// copy copies a segment up to end.
func (b *backup) copy(ctx context.Context, c *content, to string, end int64) (err error) {
	f, err := b.fs.Open(b.temporary(to), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, batchSize)
	for off := int64(0); off < end; {
		if err := b.s.alive(ctx); err != nil {
			return err
		}
		n := min(int64(len(buf)), end-off)
		if _, err := c.file.ReadAt(buf[:n], off); err != nil {
			return fmt.Errorf("read %s: %w", c.path, err)
		}
		if _, err := f.WriteAt(buf[:n], off); err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
		off += n
		b.report.Bytes += n
		b.progress.Done += n
		b.tell()
	}
	return f.Datasync()
}

func (b *backup) tell() {
	if b.o.Progress != nil {
		b.o.Progress(b.progress)
	}
}
