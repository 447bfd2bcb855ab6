package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// hub has the readers of a runner. Usually there is one for all views; a view
// that is far behind the others has its own until it is level.
type hub struct {
	store   eventstore.Store
	opts    *Options
	filter  eventstore.Filter
	types   map[string]bool
	codecs  []eventstore.Codec
	counter unknownCounter
	spawn   func(rd *reader, prepare func()) // starts a reader that ends with Run

	mu      sync.Mutex
	readers []*reader // oldest first
	gate    int       // views that have yet to say where they begin
	waiting []*lane   // for the gate
}

// gatePatience is how long the views that begin together wait for the last of
// them.
const gatePatience = 500 * time.Millisecond

func newHub(store eventstore.Store, opts *Options, projections []*Projection) *hub {
	h := &hub{store: store, opts: opts, types: make(map[string]bool)}
	for _, p := range projections {
		for _, t := range p.types() {
			h.types[t] = true
		}
		h.codecs = append(h.codecs, p.codec)
	}
	if opts.UnknownEvents == UnknownSkip {
		for t := range h.types {
			h.filter.Types = append(h.filter.Types, t)
		}
		slices.Sort(h.filter.Types)
	}
	return h
}

// run keeps the hub's readers until ctx is done.
func (h *hub) run(ctx context.Context, views int, follow func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	h.gate, h.waiting = views, nil
	h.spawn = func(rd *reader, prepare func()) {
		ctx, cancel := context.WithCancel(ctx)
		rd.stop = cancel
		prepare()
		wg.Go(func() {
			defer cancel()
			rd.run(ctx)
		})
	}
	h.mu.Unlock()
	late := time.AfterFunc(gatePatience, func() { h.open(views) })
	defer late.Stop()
	follow()
}

// open says that n more views have said where they begin. When all have, one
// reader begins for all of them.
func (h *hub) open(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate <= 0 {
		return
	}
	if h.gate -= n; h.gate <= 0 {
		h.beginLocked(h.waiting)
		h.waiting = nil
	}
}

// attach finds a reader for new lanes of one view.
func (h *hub) attach(ctx context.Context, lanes []*lane) {
	if len(lanes) == 0 {
		return
	}
	h.mu.Lock()
	if h.gate > 0 {
		h.waiting = append(h.waiting, lanes...)
		h.mu.Unlock()
		return
	}
	readers := slices.Clone(h.readers)
	h.mu.Unlock()
	for _, rd := range readers {
		if rd.adopt(ctx, lanes) {
			return
		}
	}
	h.begin(lanes)
}

func (h *hub) begin(lanes []*lane) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beginLocked(lanes)
}

// beginLocked starts a reader where the last of some lanes is.
func (h *hub) beginLocked(lanes []*lane) {
	if len(lanes) == 0 {
		return
	}
	rd := &reader{hub: h}
	rd.count.Store(int32(len(lanes)))
	rd.pos = lanes[0].pushed
	for _, l := range lanes {
		rd.pos = min(rd.pos, l.pushed)
	}
	rd.recent.after = rd.pos
	h.readers = append(h.readers, rd)
	h.spawn(rd, func() {
		for _, pt := range portsOf(lanes) {
			rd.join(pt)
		}
	})
}

// merge gives the lanes of a reader that is level to an older one. The caller
// has the reader's lock; only younger readers take the locks of older ones.
func (h *hub) merge(ctx context.Context, rd *reader) {
	h.mu.Lock()
	older := h.readers[:max(slices.Index(h.readers, rd), 0)]
	older = slices.Clone(older)
	h.mu.Unlock()
	for _, o := range older {
		if o.adopt(ctx, rd.laneList()) {
			rd.ports = nil
			return
		}
	}
}

func (h *hub) remove(rd *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.readers, rd); i >= 0 {
		h.readers = slices.Delete(h.readers, i, i+1)
	}
}

// wants reports whether any view handles the event.
func (h *hub) wants(rec *eventstore.Recorded) bool { return h.types[rec.Type] }

// unknown deals with an event that no view handles.
func (h *hub) unknown(rec *eventstore.Recorded) error {
	if h.opts.UnknownEvents == UnknownSkip || strings.HasPrefix(rec.Type, "$") || h.counter.registered(rec, h.codecs) {
		return nil
	}
	if h.opts.UnknownEvents == UnknownStop {
		return fmt.Errorf("%w: type %q at position %d of stream %q; register it in the codec, or set Options.UnknownEvents", errUnknownType, rec.Type, rec.Position, rec.Stream)
	}
	h.counter.add(rec.Type)
	return nil
}

var errUnknownType = fmt.Errorf("projection: no codec of the runner knows the event: %w", eventstore.ErrUnknownEvent)

// unknownCounter counts events by types that nobody has registered.
type unknownCounter struct {
	mu    sync.Mutex
	known map[string]bool
	count map[string]int64
}

// registered asks the codecs once for each type.
func (c *unknownCounter) registered(rec *eventstore.Recorded, codecs []eventstore.Codec) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, asked := c.known[rec.Type]
	if asked {
		return known
	}
	for _, codec := range codecs {
		if _, err := codec.Decode(*rec); !errors.Is(err, eventstore.ErrUnknownEvent) {
			known = true
		}
	}
	if c.known == nil {
		c.known, c.count = make(map[string]bool), make(map[string]int64)
	}
	c.known[rec.Type] = known
	return known
}

func (c *unknownCounter) add(typ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[typ]++
}

func (c *unknownCounter) counts() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

// failing returns why a reader cannot read now, or nil.
func (h *hub) failing() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, rd := range h.readers {
		if err := rd.failing.Load(); err != nil {
			return *err
		}
	}
	return nil
}
