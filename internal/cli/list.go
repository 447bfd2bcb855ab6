package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

type listCommand struct {
	Category []string `sep:"none" placeholder:"NAME" help:"Only streams of this category, the part of a name before its first dash; may be given several times."`
	Prefix   []string `sep:"none" placeholder:"TEXT" help:"Only streams whose names begin so; may be given several times."`
	System   bool     `help:"Include the server's own streams, whose names begin with $$."`
	Deleted  bool     `help:"Include deleted streams."`
	Sort     string   `enum:"name,changed,events" default:"name" help:"By name, or latest change or most events first."`
	Limit    int      `short:"n" placeholder:"N" help:"At most so many streams; 0 means all."`
}

// Help implements kong.HelpProvider.
func (*listCommand) Help() string {
	return `EventStoreDB keeps no list of streams, so this reads every event once. EVENTS
counts what can be read, without regard to a maximum age.

Examples:

  foldstream streams list --category order --sort changed --limit 10
  foldstream streams list --prefix order- -o json | jq -r .stream`
}

// Validate implements kong's interface for that.
func (c *listCommand) Validate() error { return checkLimit(c.Limit) }

// Run reads all events and prints what streams there are.
func (c *listCommand) Run(ctx context.Context, s *streamsCommand, w *world) error {
	return s.with(ctx, w, func(store eventstore.Store) error {
		found, err := c.scan(ctx, store, w.err)
		if err != nil {
			return err
		}
		if s.table(w) {
			return c.table(found, w)
		}
		buf := bufio.NewWriter(w.out)
		enc := newEncoder(buf)
		for _, l := range found {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return buf.Flush()
	})
}

func (c *listCommand) table(found []*listed, w *world) error {
	columns := []column{{title: "STREAM"}, {"EVENTS", true}, {"VERSION", true}, {title: "CHANGED"}}
	if c.Deleted {
		columns = append(columns, column{title: "STATE"})
	}
	t := newTable(w.out, columns...)
	for _, l := range found {
		cells := []string{shown(l.Stream, maxName), strconv.FormatUint(l.Events, 10), strconv.FormatUint(uint64(l.Version), 10), l.Changed.Format(timeFormat), l.State}
		if err := t.add(cells[:len(columns)]...); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		_, _ = fmt.Fprintln(w.err, "no streams")
	}
	return t.flush()
}

// A listed stream.
type listed struct {
	Stream   string              `json:"stream"`
	Events   uint64              `json:"events"` // that can be read
	Version  eventstore.Version  `json:"version"`
	Position eventstore.Position `json:"position"` // of the last event
	Changed  time.Time           `json:"changed"`
	State    string              `json:"state,omitempty"` // deleted or tombstoned

	seen   uint64
	limits eventstore.StreamMetadata
}

// scan reads the log. Metadata is read along, because it says what is deleted.
func (c *listCommand) scan(ctx context.Context, store eventstore.Store, notes io.Writer) ([]*listed, error) {
	progress, err := newProgress(ctx, store, notes)
	if err != nil {
		return nil, err
	}
	defer progress.done()
	wanted := c.filter().Matcher()
	streams := make(map[string]*listed)
	of := func(name string) *listed {
		l := streams[name]
		if l == nil {
			name = strings.Clone(name) // not the bytes of the event around it
			l = &listed{Stream: name}
			streams[name] = l
		}
		return l
	}
	for r, err := range store.ReadAll(ctx, eventstore.ReadAllOptions{}) {
		if err != nil {
			return nil, err
		}
		progress.at(r.Position)
		if orig, isMeta := strings.CutPrefix(r.Stream, "$$"); isMeta && r.Type == eventstore.TypeStreamMetadata && (wanted == nil || wanted(orig, "")) {
			of(orig).limits = limitsOf(&r)
		}
		if wanted == nil || wanted(r.Stream, "") {
			of(r.Stream).take(&r)
		}
	}
	return c.choose(streams), nil
}

// filter speaks of streams only.
func (c *listCommand) filter() eventstore.Filter {
	system := c.System || anySystem(c.Category) || anySystem(c.Prefix)
	return eventstore.Filter{Categories: c.Category, StreamPrefixes: c.Prefix, ExcludeSystem: !system}
}

// limitsOf reads metadata as a server does: what it does not understand is none.
func limitsOf(r *eventstore.Recorded) eventstore.StreamMetadata {
	var m eventstore.StreamMetadata
	if r.ContentType != eventstore.ContentTypeJSON || json.Unmarshal(r.Data, &m) != nil {
		return eventstore.StreamMetadata{}
	}
	return eventstore.StreamMetadata{MaxCount: m.MaxCount, TruncateBefore: m.TruncateBefore}
}

func (l *listed) take(r *eventstore.Recorded) {
	l.Position, l.Changed = r.Position, r.Created.UTC()
	if r.Type == eventstore.TypeTombstone {
		l.State = "tombstoned" // its version is the store's own
		return
	}
	l.Version = r.Version
	l.seen++
}

// finish counts what can be read.
func (l *listed) finish() {
	first := l.limits.TruncateBefore
	if strings.HasPrefix(l.Stream, "$$") {
		l.limits.MaxCount = 1 // only the last metadata counts
	}
	if n := eventstore.Version(l.limits.MaxCount); n > 0 && l.Version > n {
		first = max(first, l.Version-n+1)
	}
	switch {
	case l.State != "":
	case l.limits.Deleted():
		l.State = "deleted"
	case first <= l.Version:
		l.Events = min(l.seen, uint64(l.Version-max(first, 1)+1))
	}
}

// choose returns what is to be shown, in order.
func (c *listCommand) choose(streams map[string]*listed) []*listed {
	out := make([]*listed, 0, len(streams))
	for _, l := range streams {
		l.finish()
		if l.Position > 0 && (c.Deleted || l.State == "") {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *listed) int {
		order := 0
		switch c.Sort {
		case "changed":
			order = cmp.Compare(b.Position, a.Position)
		case "events":
			order = cmp.Compare(b.Events, a.Events)
		}
		return cmp.Or(order, strings.Compare(a.Stream, b.Stream))
	})
	if c.Limit > 0 && c.Limit < len(out) {
		out = out[:c.Limit]
	}
	return out
}
