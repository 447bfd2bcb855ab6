package logstore

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// A sealer writes the index files of segments that have ended, one after the
// other, while the store goes on. There is a goroutine as long as there is
// something to write.
type sealer struct {
	mu      sync.Mutex
	waiting []*segment
	busy    bool
	done    chan struct{} // closed when busy ends
	work    sync.WaitGroup
}

// settle waits until nothing is being sealed.
func (q *sealer) settle(ctx context.Context) error {
	q.mu.Lock()
	busy, done := q.busy, q.done
	q.mu.Unlock()
	if !busy {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end says that nothing is being sealed any more; the lock is held.
func (q *sealer) end() {
	q.busy = false
	close(q.done)
}

// sealLater has the index file of a segment written.
func (s *Store) sealLater(seg *segment) {
	q := &s.sealer
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, seg)
	if !q.busy {
		q.busy, q.done = true, make(chan struct{})
		q.work.Go(s.sealAll)
	}
}

// sealAll seals what waits. After an error the rest stays in memory and is
// tried again when the next segment ends: without its index file a segment is
// as good, but for the memory.
func (s *Store) sealAll() {
	q := &s.sealer
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.end()
			q.mu.Unlock()
			return
		}
		seg := q.waiting[0]
		q.mu.Unlock()

		err := s.seal(seg)

		q.mu.Lock()
		if err != nil {
			s.opts.Logger.Warn("an index file could not be written; the index stays in memory", "segment", seg.path, "error", err)
			q.end()
			q.mu.Unlock()
			return
		}
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
	}
}

// seal writes the index file of the segment that has ended last of all without
// one, and lets it take the place of the tail.
func (s *Store) seal(seg *segment) error {
	c := seg.content.Load()
	t := c.tail.Load()
	if err := s.index(c, t); err != nil {
		return err
	}
	s.states.absorb(t)
	c.tail.Store(nil)
	return nil
}

// index gives c the index file that t stands for.
func (s *Store) index(c *content, t *tail) error {
	if err := s.writeIndex(c, encodeIndex(c.stamp(), c.summary(), t)); err != nil {
		return err
	}
	return s.mapIndex(c)
}

// writeIndex writes the index file of c, whole or not at all.
func (s *Store) writeIndex(c *content, b []byte) error {
	path := indexPath(c.path)
	f, err := s.opts.fs.Open(path+tmpSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Datasync()
	}
	if err = firstError(err, f.Close()); err == nil {
		err = s.opts.fs.Rename(path+tmpSuffix, path)
	}
	if err == nil {
		err = s.opts.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("write index %s: %w", path, err)
	}
	return nil
}

// mapIndex opens the index file of c.
func (s *Store) mapIndex(c *content) error {
	path := indexPath(c.path)
	f, err := s.opts.fs.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	size, err := f.Size()
	var data []byte
	if err == nil && size > 0 {
		data, err = f.Map(size)
	}
	var x *sealedIndex
	if err == nil {
		var off int64
		err = guard(c, &off, func() error { x, err = decodeIndex(data, c.stamp()); return err })
	}
	if err != nil {
		_, _ = unmap(f, data), f.Close() // it was of no use
		return fmt.Errorf("index %s: %w", path, err)
	}
	c.indexFile, c.indexData = f, data
	c.index.Store(x)
	return nil
}

// markClean writes the index file of the last segment, which says that the
// store was closed in order and where the data ends. Without it Open finds that
// out for itself.
func (s *Store) markClean() {
	c := s.current()
	t := c.tail.Load()
	t.last = s.head
	if err := s.writeIndex(c, encodeIndex(c.stamp(), c.summary(), t)); err != nil {
		s.opts.Logger.Warn("the log store is closed, but not marked so", "dir", s.dir, "error", err)
	}
}
