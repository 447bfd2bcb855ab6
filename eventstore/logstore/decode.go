package logstore

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"github.com/foldstream/foldstream/eventstore"
)

// guard runs read, which touches the mapping of seg, and makes an error of an
// I/O error there, which the system reports as a fault at an address.
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

// faultError returns the error that a recovered fault stands for. It goes on
// panicking with anything else.
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

// A cursor says which events to read next.
type cursor struct {
	view
	positions []eventstore.Position // of a stream, by version - 1; nil for all streams
	next      eventstore.Position   // position, or version when there are positions
	last      eventstore.Position
	step      eventstore.Position // one, or minus one
	left      int                 // at most so many; 0 for no limit
	ended     bool

	match     func(stream, eventType string) bool
	notBefore int64 // ns; leaves out events created earlier

	seg  *segment
	offs []uint32
	off  int64
}

const minusOne = ^eventstore.Position(0)

func (c *cursor) done() bool { return c.ended }

// take returns the next position and moves on.
func (c *cursor) take() eventstore.Position {
	p := c.next
	if c.positions != nil {
		p = c.positions[c.next-1]
	}
	c.ended = c.next == c.last
	c.next += c.step
	return p
}

// A decoder turns frames into events, some at a time. It keeps what makes that
// cheap: the strings seen last, and a chunk of memory that events share.
type decoder struct {
	s      *Store
	events []eventstore.Recorded
	chunk  []byte
	grow   int
	names  [256]string
}

const (
	batchEvents   = 64        // decoded at a time
	batchExamined = 1024      // looked at, at a time
	batchBytes    = 256 << 10 // of data decoded at a time
	minChunk      = 4 << 10
	maxChunk      = 64 << 10
)

var decoders = sync.Pool{New: func() any { return &decoder{events: make([]eventstore.Recorded, 0, batchEvents)} }}

func newDecoder(s *Store) *decoder {
	d := decoders.Get().(*decoder)
	d.s, d.grow = s, minChunk
	return d
}

// release gives d back. What its events hold is not used again.
func (d *decoder) release() {
	clear(d.events[:cap(d.events)])
	d.s, d.chunk, d.events = nil, nil, d.events[:0]
	decoders.Put(d)
}

// fill decodes the next events of c into d.events. They may be none although
// c is not at its end.
func (d *decoder) fill(ctx context.Context, c *cursor) (err error) {
	d.events = d.events[:0]
	d.s.mapped.RLock()
	defer d.s.mapped.RUnlock()
	if err := d.s.alive(ctx); err != nil {
		return err
	}
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = faultError(c.seg, c.off, p)
		}
	}()
	for examined, size := 0, 0; !c.ended && examined < batchExamined && size < batchBytes && len(d.events) < batchEvents; examined++ {
		n, err := d.one(c)
		if err != nil {
			return err
		}
		size += n
	}
	return nil
}

// frameAt returns the frame at position p, which the view of c has.
func (c *cursor) frameAt(p eventstore.Position) (frame, error) {
	if c.seg == nil || p < c.seg.first || p-c.seg.first >= eventstore.Position(len(c.offs)) {
		c.seg, c.offs = c.find(p)
	}
	c.off = int64(c.offs[p-c.seg.first]) * frameAlign
	f, reason := decodeFrame(c.seg.data[c.off:], c.seg.seed, c.off)
	if reason == "" && f.position() != p {
		reason = fmt.Sprintf("position %d where %d was written", f.position(), p)
	}
	if reason != "" {
		return nil, &eventstore.CorruptError{File: c.seg.path, Offset: c.off, Reason: reason}
	}
	return f, nil
}

// one decodes the next event of c, unless it is not wanted, and returns how
// many bytes that took.
func (d *decoder) one(c *cursor) (int, error) {
	f, err := c.frameAt(c.take())
	if err != nil {
		return 0, err
	}
	typ, ct, stream, meta, data := f.parts()
	if f.created() < c.notBefore || c.match != nil && !c.match(inPlace(stream), inPlace(typ)) {
		return 0, nil
	}
	i := len(d.events)
	e := &d.events[:i+1][i]
	e.ID, e.Version, e.Position = f.id(), f.version(), f.position()
	e.Type, e.ContentType, e.Stream = d.name(typ), d.name(ct), d.name(stream)
	e.Created = time.Unix(0, f.created()).UTC()
	both := d.alloc(len(meta) + len(data))
	copy(both, meta)
	copy(both[len(meta):], data)
	e.Data = both[len(meta):]
	e.Metadata, err = eventstore.ParseMetadata(inPlace(both[:len(meta)]))
	if err != nil {
		return 0, &eventstore.CorruptError{File: c.seg.path, Offset: c.off, Reason: err.Error()}
	}
	d.events = d.events[:i+1]
	if c.left > 0 {
		if c.left--; c.left == 0 {
			c.ended = true
		}
	}
	return len(f), nil
}

// inPlace returns b as a string without a copy; b must not change while the
// string is in use.
func inPlace(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// name returns b as a string, one that was made before if it was seen lately.
func (d *decoder) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var h uint64
	if len(b) >= 8 {
		h = le.Uint64(b[len(b)-8:])
	} else {
		for _, c := range b {
			h = h<<8 | uint64(c)
		}
	}
	slot := &d.names[(h^uint64(len(b)))*0x9E3779B97F4A7C15>>56]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// alloc returns n bytes that nothing else uses.
func (d *decoder) alloc(n int) []byte {
	if n > len(d.chunk) {
		if n > d.grow/4 {
			return make([]byte, n)
		}
		d.chunk = make([]byte, d.grow)
		d.grow = min(2*d.grow, maxChunk)
	}
	b := d.chunk[:n:n]
	d.chunk = d.chunk[n:]
	return b
}

// idAt returns the id of the event at a published position.
func (s *Store) idAt(p eventstore.Position) (id eventstore.ID, err error) {
	s.mapped.RLock()
	defer s.mapped.RUnlock()
	c := cursor{view: s.view()}
	seg, _ := c.find(p)
	err = guard(seg, &c.off, func() error {
		f, err := c.frameAt(p)
		if err == nil {
			id = f.id()
		}
		return err
	})
	return id, err
}
