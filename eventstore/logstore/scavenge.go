package logstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// ScavengeOptions configure [Store.Scavenge]. The zero value is ready to use.
type ScavengeOptions struct {
	// Threshold is the share of a segment's bytes that must be removable for it
	// to be rewritten; default 0.1.
	Threshold float64
	// All rewrites every segment that has anything to remove, such as when
	// deleted data must really go.
	All      bool
	DryRun   bool           // only say what would be done
	Progress func(Progress) // in bytes of sealed segments
}

const defaultThreshold = 0.1

// A ScavengeReport says what a scavenge did, or with DryRun would do.
type ScavengeReport struct {
	Segments  int    `json:"segments"`  // that were looked at: all that are sealed
	Rewritten int    `json:"rewritten"` // of them
	Events    uint64 `json:"events"`    // removed
	Bytes     int64  `json:"bytes"`     // freed
	// What could be removed and was left, because it is too little in its
	// segment, or because earlier events of its stream were left.
	LeftEvents uint64 `json:"left_events"`
	LeftBytes  int64  `json:"left_bytes"`
}

// Scavenge removes for ever what reading streams no longer shows, and gives
// back its space: the events of deleted streams, those before the truncation or
// beyond the maximum count or age of their stream, those before a tombstone,
// and all metadata but the last of each stream. The last event of a stream
// always stays, and so do all positions and versions. ReadAll and subscriptions
// to all streams, which showed these events until then, no longer do.
//
// It rewrites sealed segments one after the other while the store goes on; the
// last segment, which grows, is left alone. Each is replaced in one step, which
// readers at work do not notice and a crash leaves whole. After an error, and
// when ctx is done, what was replaced stays so. It needs room on the disk for
// one more segment, and memory for each stream with metadata.
//
// One scavenge can be at work at a time; another gets
// [eventstore.ErrUnavailable].
func (s *Store) Scavenge(ctx context.Context, opts *ScavengeOptions) (ScavengeReport, error) {
	g := &scavenge{s: s}
	if opts != nil {
		g.opts = *opts
	}
	if g.opts.Threshold <= 0 {
		g.opts.Threshold = defaultThreshold
	}
	if err := g.run(ctx); err != nil {
		return g.report, fmt.Errorf("scavenge %s: %w", s.dir, err)
	}
	return g.report, nil
}

type scavenge struct {
	s        *Store
	opts     ScavengeOptions
	report   ScavengeReport
	cuts     map[string]*cut
	progress Progress
}

// A cut says what of a stream may go. What goes is always its beginning: the
// versions that are left have no gaps.
type cut struct {
	before    eventstore.Version // versions below
	notBefore int64              // and those that were created earlier, ns
	last      eventstore.Version // but not from this one on
	over      bool               // an event was kept, so that all later ones are
}

func (c *cut) removes(f *frame) bool {
	return !c.over && f.version < c.last && (f.version < c.before || f.created < c.notBefore)
}

func (g *scavenge) run(ctx context.Context) error {
	s := g.s
	if s.opts.ReadOnly && !g.opts.DryRun {
		return s.queue.refuse
	}
	if !s.scavenging.TryLock() {
		return &eventstore.UnavailableError{Op: "scavenge", Err: errors.New("another scavenge is at work")}
	}
	defer s.scavenging.Unlock() // Close waits for it
	if err := s.alive(ctx); err != nil {
		return err
	}
	if !g.opts.DryRun {
		// What says that events may go must not be lost in a crash when they have
		// gone.
		if err := s.force(ctx); err != nil {
			return err
		}
	}
	if err := g.plan(ctx); err != nil {
		return err
	}
	if err := s.sealer.settle(ctx); err != nil {
		return err
	}
	sealed := s.sealed()
	for _, seg := range sealed {
		g.progress.Total += seg.content.Load().end
	}
	for _, seg := range sealed {
		if err := g.segment(ctx, seg); err != nil {
			return err
		}
	}
	return nil
}

// sealed returns the segments that have index files, all that a scavenge can
// rewrite.
func (s *Store) sealed() []*segment {
	segs := s.view().segs
	for i, seg := range segs {
		if c := seg.content.Load(); c == nil || c.index.Load() == nil {
			return segs[:i]
		}
	}
	return segs[:len(segs)-1] // a store that is read only may have an index of the last one
}

// plan finds the streams that have something to remove.
func (g *scavenge) plan(ctx context.Context) error {
	g.cuts = make(map[string]*cut)
	seen := make(map[string]bool)
	filter := eventstore.Filter{Types: []string{eventstore.TypeStreamMetadata, eventstore.TypeTombstone}}
	for r, err := range g.s.ReadAll(ctx, eventstore.ReadAllOptions{Filter: filter}) {
		if err != nil {
			return err
		}
		for _, name := range []string{r.Stream, strings.TrimPrefix(r.Stream, "$$")} {
			if seen[name] {
				continue
			}
			name = strings.Clone(name) // not the bytes of the event around it
			seen[name] = true
			if err := g.cut(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut notes what may go of a stream.
func (g *scavenge) cut(name string) error {
	state, _, _, err := g.s.look(name)
	if err != nil || state.Last <= 1 {
		return err
	}
	w := state.History(name, g.s.opts.Now)
	c := &cut{before: w.First, notBefore: nanos(w.NotBefore), last: state.Last}
	if _, isMeta := streamrules.Original(name); state.Tombstoned && !isMeta {
		c.before = state.Last
	}
	if c.before > 1 || c.notBefore > math.MinInt64 {
		g.cuts[name] = c
	}
	return nil
}

// A dead is what is to be removed from one segment.
type dead struct {
	events int
	bytes  int64
	frames []uint64      // a bit for each frame
	cuts   map[*cut]bool // of the streams
}

// segment removes what may go from a segment, if that is worth it.
func (g *scavenge) segment(ctx context.Context, seg *segment) error {
	c := seg.pin()
	if c == nil {
		return eventstore.ErrClosed
	}
	d, err := g.examine(ctx, c)
	g.tell(c)
	if err == nil && d.events > 0 {
		if worth := g.opts.All || float64(d.bytes) >= g.opts.Threshold*float64(c.end-headerSize); worth {
			err = g.replace(ctx, seg, c, d)
		} else {
			g.leave(d)
		}
	}
	g.report.Segments++
	return firstError(err, c.release())
}

func (g *scavenge) tell(c *content) {
	g.progress.Done += c.end
	if g.opts.Progress != nil {
		g.opts.Progress(g.progress)
	}
}

// leave keeps what is in a segment, and so all that follows it in the streams.
func (g *scavenge) leave(d *dead) {
	for c := range d.cuts {
		c.over = true
	}
	g.report.LeftEvents += uint64(d.events)
	g.report.LeftBytes += d.bytes
}

// replace rewrites a segment without what is dead.
func (g *scavenge) replace(ctx context.Context, seg *segment, c *content, d *dead) error {
	g.report.Rewritten++
	g.report.Events += uint64(d.events)
	g.report.Bytes += d.bytes
	if g.opts.DryRun {
		return nil
	}
	r := &rewrite{s: g.s, seg: seg, old: c, dead: d}
	if err := r.run(ctx); err != nil {
		g.report.Rewritten--
		g.report.Events -= uint64(d.events)
		g.report.Bytes -= d.bytes
		return err
	}
	g.s.opts.Logger.Info("segment scavenged", "file", seg.path, "events", d.events, "bytes", d.bytes)
	return nil
}

// examine finds what may go from a segment.
func (g *scavenge) examine(ctx context.Context, c *content) (*dead, error) {
	d := &dead{cuts: make(map[*cut]bool)}
	n := 0
	err := g.s.eachIn(ctx, c, func(f *frame, _ int64) error {
		if n%64 == 0 {
			d.frames = append(d.frames, 0)
		}
		if cut := g.cuts[string(f.stream)]; cut != nil {
			if cut.removes(f) {
				d.frames[n/64] |= 1 << (n % 64)
				d.events++
				d.bytes += int64(f.size)
				d.cuts[cut] = true
			} else {
				cut.over = true
			}
		}
		n++
		return nil
	})
	return d, err
}
