package logstore

import (
	"context"
	"fmt"
)

// checkEvery is after how many frames a long walk looks whether it is still
// wanted.
const checkEvery = 4096

// eachIn calls do with every frame of a sealed segment, which is pinned, and
// its offset. The frame lies in the mapping: do must not keep it.
func (s *Store) eachIn(ctx context.Context, c *content, do func(f *frame, off int64) error) error {
	off, end := int64(headerSize), c.summary().end
	return guard(c, &off, func() error {
		var f frame
		due := c.first
		for n := 0; off < end; n++ {
			if n%checkEvery == 0 {
				if err := s.alive(ctx); err != nil {
					return err
				}
			}
			if reason := f.decode(c.data[off:end], &c.base, off); reason != "" {
				return c.damaged(off, reason)
			}
			if f.position != due && (c.header.generation == 0 || f.position < due) {
				return c.damaged(off, fmt.Sprintf("position %d where %d was due", f.position, due))
			}
			if err := do(&f, off); err != nil {
				return err
			}
			due = f.position + 1
			off += int64(f.size)
		}
		return nil
	})
}

// entry returns the entry of a stream in a tail that is made to be an index
// file, made if need be.
func (t *tail) entry(name string) *stream {
	st := t.streams[name]
	if st == nil {
		st = &stream{name: name}
		t.streams[name] = st
	}
	return st
}
