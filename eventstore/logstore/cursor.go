package logstore

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/foldstream/foldstream/eventstore"
)

// A cursor says which events to read next.
type cursor struct {
	view
	positions []eventstore.Position // of a stream, by version - 1; nil for all streams
	next      eventstore.Position   // position, or version when there are positions
	last      eventstore.Position
	step      eventstore.Position // one, or minus one
	left      int                 // at most so many; 0 or less for no limit
	ended     bool

	match     func(stream, eventType string) bool
	notBefore int64 // ns; leaves out events created earlier

	seg      *segment // of the last seek
	segIndex int
	offs     []uint32
	fault    *segment // touched last, and where
	off      int64
}

const minusOne = ^eventstore.Position(0)

// seek makes seg the segment that has position p.
func (c *cursor) seek(p eventstore.Position) {
	if c.seg == nil || p < c.seg.first || p-c.seg.first >= eventstore.Position(len(c.offs)) {
		c.segIndex = c.find(p)
		c.seg, c.offs = c.segs[c.segIndex], c.tail
		if c.segIndex < len(c.segs)-1 {
			c.offs = c.seg.offs
		}
	}
	c.fault = c.seg
}

// offset returns where the ith frame of the segment begins.
func (c *cursor) offset(i int) int64 {
	c.off = int64(c.offs[i]) * frameAlign
	return c.off
}

// frameEnd returns where the ith frame of the segment ends, at most where the
// segment does. Its length is not yet checked.
func (c *cursor) frameEnd(i int) int64 {
	if i+1 < len(c.offs) {
		return c.offset(i + 1)
	}
	off := c.offset(i)
	return min(off+roundUp(int64(le.Uint32(c.seg.data[off:])), frameAlign), c.seg.size())
}

func (c *cursor) advance() {
	c.ended = c.next == c.last
	c.next += c.step
}

// guard runs read, which touches the mapping, and makes an error of an I/O
// error there.
func (c *cursor) guard(read func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = faultError(c.fault, c.off, p)
		}
	}()
	return read()
}

// guard is [cursor.guard] for who walks a segment with an offset of its own.
func guard(seg *segment, off *int64, read func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = faultError(seg, *off, p)
		}
	}()
	return read()
}

// faultError returns the error that a recovered panic stands for when it is a
// fault at an address, which is how the system reports that a mapped page
// cannot be read. It goes on panicking with anything else.
func faultError(seg *segment, off int64, p any) error {
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || seg == nil {
		panic(p)
	}
	return &eventstore.CorruptError{File: seg.path, Offset: off, Reason: fmt.Sprintf("it cannot be read: %v", fault)}
}
