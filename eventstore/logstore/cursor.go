package logstore

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// A cursor says which events to read next, and where they are. It has either
// positions, for all streams, or versions and the name of one stream.
type cursor struct {
	s *Store
	view
	backwards bool
	left      int // at most so many; 0 or less for no limit
	ended     bool

	// All streams.
	next, last eventstore.Position // both included
	filter     eventstore.Filter
	match      func(stream, eventType string) bool
	i          int      // of the segment
	c          *content // what it held when off was found; nil when it is still to be found
	off        int64
	due        eventstore.Position // at off; in a rewritten segment it may be a later one
	kinds      uint64              // that may match, in c

	// All streams, by a query if that is set.
	query    eventstore.Query
	searched bool // everything was found that there is

	// One stream.
	stream    string
	at, to    eventstore.Version // both included
	tailRun   run                // of the last segment
	runs      []run              // in the order in which they are read
	planned   bool               // runs are found
	notBefore int64              // ns; leaves out events created earlier
}

// always is a notBefore that leaves nothing out.
const always = -1 << 63

// A run is where events of a stream are in one segment.
type run struct {
	i     int // of the segment
	c     *content
	first eventstore.Version // of offs[0]
	offs  []uint32
}

// cursor returns a cursor for the positions from next to last, backwards if
// last is less.
func (s *Store) cursor(v view, next, last eventstore.Position) *cursor {
	c := &cursor{s: s, view: v, next: next, last: last, backwards: next > last, notBefore: always}
	c.i = c.find(next)
	return c
}

// enter pins the segment at hand. When that holds something else than before
// the place in it is found anew.
func (c *cursor) enter() (*content, error) {
	cont := c.segs[c.i].pin()
	if cont == nil {
		return nil, eventstore.ErrClosed
	}
	if cont == c.c {
		return cont, nil
	}
	if c.c != nil { // rewritten meanwhile
		if err := cont.release(); err != nil {
			return nil, err
		}
		c.view, c.c = c.s.view(), nil
		c.i = c.find(c.next)
		return c.enter()
	}
	c.c, c.off, c.kinds = cont, 0, ^uint64(0)
	if x, _ := cont.indexes(); x != nil && c.match != nil && len(c.filter.StreamPrefixes) == 0 && c.filter.StreamRegexp == nil {
		c.kinds = 1 << (maxKinds - 1)
		for i, k := range x.kinds {
			if c.match(k.category, k.typ) {
				c.kinds |= 1 << i
			}
		}
	}
	return cont, nil
}

// plan finds the runs of the versions that are still to be read, in memory of
// the decoder's.
func (c *cursor) plan(d *decoder) error {
	low, high := c.at, c.to
	if c.backwards {
		low, high = c.to, c.at
		if c.left > 0 && eventstore.Version(c.left) < high && c.notBefore == always {
			low = max(low, high-eventstore.Version(c.left)+1)
		}
	}
	c.runs, d.offs, c.planned = d.runs[:0], d.offs[:0], true
	reached := high + 1 // versions from here on are found
	add := func(r run) {
		from, to := max(low, r.first), min(high, r.first+eventstore.Version(len(r.offs))-1)
		if from <= to {
			r.offs = r.offs[from-r.first : to-r.first+1]
			r.first = from
			c.runs = append(c.runs, r)
		}
		reached = min(reached, r.first)
	}
	if len(c.tailRun.offs) > 0 {
		add(c.tailRun)
	}
	hash := hashName(c.stream)
	for i := len(c.segs) - 2; i >= 0 && reached > low; i-- {
		r, err := c.runIn(d, i, hash)
		if err != nil {
			return err
		}
		if len(r.offs) > 0 {
			add(r)
		}
	}
	if !c.backwards {
		slices.Reverse(c.runs)
	}
	d.runs = c.runs
	c.ended = len(c.runs) == 0
	return nil
}

// runIn returns the events of the stream in the ith segment, which is sealed.
func (c *cursor) runIn(d *decoder, i int, hash uint64) (run, error) {
	cont := c.segs[i].pin()
	if cont == nil {
		return run{}, eventstore.ErrClosed
	}
	r := run{i: i, c: cont}
	x, t := cont.indexes()
	if x == nil {
		if st := t.streams[c.stream]; st != nil {
			r.first, r.offs = st.first, st.added
		}
		return r, cont.release()
	}
	off := int64(headerSize)
	err := guard(cont, &off, func() error {
		return cont.stream(x, c.stream, hash, &off, func(postings []byte, last *frame) {
			start := len(d.offs)
			for ; len(postings) > 0; postings = postings[4:] {
				d.offs = append(d.offs, le.Uint32(postings))
			}
			r.offs = d.offs[start:]
			r.first = last.version - eventstore.Version(len(r.offs)) + 1
		})
	})
	return r, firstError(err, cont.release())
}

// guard runs read, which touches the mappings of c, and makes an error of an
// I/O error there. off says where read is.
func guard(c *content, off *int64, read func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = c.fault(*off, p)
		}
	}()
	return read()
}

// fault returns the error that a recovered panic stands for when it is a fault
// at an address, which is how the system reports that a mapped page cannot be
// read. It goes on panicking with anything else.
func (c *content) fault(off int64, p any) error {
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(p)
	}
	return c.damaged(off, fmt.Sprintf("it cannot be read: %v", fault))
}
