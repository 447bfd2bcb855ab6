package logstore_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// A ledger is what callers of a store remember: what they asked for and what
// they were told. Its check says whether a store that was opened after a crash
// may hold what it holds.
type ledger struct {
	clock func() int   // moments, such as operations of a disk; never goes back
	tell  func(report) // of every begin and end, if it is set
	first int          // number of the first entry

	mu      sync.Mutex
	opening int // of the store that is open
	entries []*entry
	heads   []sighting
	gaps    bool            // scavenges are made, and may remove events that are not shown
	touched map[string]bool // streams that may have lost events to them
}

// An entry is one call that changes the store.
type entry struct {
	n       int // its number, which its events carry
	kind    streamrules.Kind
	meta    bool // SetStreamMetadata
	stream  string
	claim   string // a tag of the first event, that no event had before
	events  []eventstore.Event
	opening int // of the store, counted
	begun   int
	told    int // when it returned; 0 while it has not
	receipt eventstore.Receipt
	err     error
}

// A sighting is a head that somebody saw: from then on it must not go back.
type sighting struct {
	at   int
	head eventstore.Position
}

func newLedger(clock func() int) *ledger {
	return &ledger{clock: clock, touched: make(map[string]bool)}
}

// begin makes an entry for a call that is about to be made, with so many
// events.
func (l *ledger) begin(e entry, events int) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.n, e.begun, e.opening = l.first+len(l.entries), l.clock(), l.opening
	for i := range events {
		e.events = append(e.events, numbered(e.n, i, events))
	}
	if e.claim != "" {
		e.events[0].Metadata = withTags(e.events[0].Metadata, e.claim)
	}
	l.entries = append(l.entries, &e)
	l.touched[e.stream] = l.touched[e.stream] || e.meta || e.kind != streamrules.Append
	if l.tell != nil {
		l.tell(report{N: e.n, Kind: e.kind, Meta: e.meta, Stream: e.stream, Claim: e.claim, Events: events})
	}
	return &e
}

// numbered returns event i of the count events of entry n. All of it can be
// told from n and i.
func numbered(n, i, count int) eventstore.Event {
	meta := eventstore.NewMetadata("n", strconv.Itoa(n), "i", strconv.Itoa(i), "count", strconv.Itoa(count))
	if n%4 > 0 {
		meta = withTags(meta, "n:"+strconv.Itoa(n%4), "i:"+strconv.Itoa(i%2))
	}
	return eventstore.Event{
		ID: eventstore.DeriveID(fmt.Sprint(n, i)), Type: "numbered." + strconv.Itoa(i%3), ContentType: eventstore.ContentTypeJSON,
		Data:     fmt.Appendf(nil, `{"n":%d,"i":%d,"pad":%q}`, n, i, strings.Repeat("x", (n*7+i*13)%90)),
		Metadata: meta,
	}
}

func withTags(m eventstore.Metadata, tags ...string) eventstore.Metadata {
	m, err := m.WithTags(tags...)
	if err != nil {
		panic(err)
	}
	return m
}

func (l *ledger) end(e *entry, r eventstore.Receipt, err error) (eventstore.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.receipt, e.err, e.told = r, err, l.clock()
	if l.tell != nil {
		end := report{N: e.n, End: true, Receipt: r}
		if err != nil {
			end.Error, end.Uncertain = err.Error(), uncertain(err)
		}
		l.tell(end)
	}
	return r, err
}

// A report tells another process of the begin or end of a call.
type report struct {
	N         int
	Kind      streamrules.Kind   `json:",omitempty"`
	Meta      bool               `json:",omitempty"`
	Stream    string             `json:",omitempty"`
	Claim     string             `json:",omitempty"`
	Events    int                `json:",omitempty"`
	End       bool               `json:",omitempty"`
	Receipt   eventstore.Receipt `json:",omitzero"`
	Error     string             `json:",omitempty"`
	Uncertain bool               `json:",omitempty"`
}

// hear takes in a report.
func (l *ledger) hear(r report) {
	if !r.End {
		l.begin(entry{kind: r.Kind, meta: r.Meta, stream: r.Stream, claim: r.Claim}, r.Events)
		return
	}
	var err error
	if r.Error != "" {
		err = &eventstore.UnavailableError{Op: "in the child", Uncertain: r.Uncertain, Err: errors.New(r.Error)}
	}
	_, _ = l.end(l.entries[r.N], r.Receipt, err)
}

func (l *ledger) append(s *logstore.Store, stream string, x eventstore.Expected, events int) (eventstore.Receipt, error) {
	e := l.begin(entry{stream: stream}, events)
	r, err := s.Append(context.Background(), stream, x, e.events...)
	return l.end(e, r, err)
}

// claimed appends events of which the first has a tag, if no event has it.
func (l *ledger) claimed(s *logstore.Store, stream, tag string, events int) (eventstore.Receipt, error) {
	e := l.begin(entry{stream: stream, claim: tag}, events)
	r, err := s.AppendIf(context.Background(), stream, eventstore.Condition{Query: eventstore.Query{{Tags: []string{tag}}}}, e.events...)
	return l.end(e, r, err)
}

func (l *ledger) delete(s *logstore.Store, stream string) (eventstore.Receipt, error) {
	e := l.begin(entry{kind: streamrules.Delete, stream: stream}, 0)
	r, err := s.Delete(context.Background(), stream, eventstore.Any)
	return l.end(e, r, err)
}

func (l *ledger) tombstone(s *logstore.Store, stream string) (eventstore.Receipt, error) {
	e := l.begin(entry{kind: streamrules.Tombstone, stream: stream}, 0)
	r, err := s.Tombstone(context.Background(), stream, eventstore.Any)
	return l.end(e, r, err)
}

func (l *ledger) metadata(s *logstore.Store, stream string, m eventstore.StreamMetadata) (eventstore.Receipt, error) {
	e := l.begin(entry{meta: true, stream: stream}, 0)
	m.Custom = map[string]json.RawMessage{"n": json.RawMessage(strconv.Itoa(e.n))}
	r, err := s.SetStreamMetadata(context.Background(), stream, eventstore.Any, m)
	return l.end(e, r, err)
}

// see notes the store's head: a crash from now on must not take it back.
func (l *ledger) see(s *logstore.Store) error {
	head, err := s.Head(context.Background())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads = append(l.heads, sighting{l.clock(), head})
	return nil
}

// cut returns what is remembered of the time up to a moment at which everything
// stopped. The ledger may be in use.
func (l *ledger) cut(at int, clock func() int) *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newLedger(clock)
	c.opening, c.gaps, c.touched = l.opening, l.gaps, maps.Clone(l.touched)
	for _, e := range l.entries {
		if e.begun > at {
			break
		}
		was := *e
		if was.told > at {
			was.told, was.receipt, was.err = 0, eventstore.Receipt{}, nil
		}
		c.entries = append(c.entries, &was)
	}
	for _, h := range l.heads {
		if h.at <= at {
			c.heads = append(c.heads, h)
		}
	}
	return c
}

// check holds the store against the ledger, when no calls are under way. From
// now on the store must stay as it is: what is not there will never be.
func (l *ledger) check(t require.TestingT, s *logstore.Store) []eventstore.Recorded {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := checkLog(t, s, l.gaps)
	head, err := s.Head(context.Background())
	require.NoError(t, err)
	for _, h := range l.heads {
		require.GreaterOrEqual(t, int(head), int(h.head), "what was readable stays readable")
	}
	l.heads = []sighting{{l.clock(), head}}
	found := l.checkGroups(t, all)
	for _, e := range l.entries {
		switch {
		case e.told > 0 && e.err == nil:
			l.checkReceipt(t, e, all)
		case e.told > 0 && !uncertain(e.err):
			require.False(t, found[e.n], "entry %d was refused (%v) and is there", e.n, e.err)
		case !found[e.n]:
			e.told, e.err = l.clock(), errLost
		}
	}
	return all
}

var errLost = errors.New("it was not there after a crash")

func uncertain(err error) bool {
	var u *eventstore.UnavailableError
	return errors.As(err, &u) && u.Uncertain
}

// checkReceipt demands that what was acknowledged is there, where it was said
// to be.
func (l *ledger) checkReceipt(t require.TestingT, e *entry, all []eventstore.Recorded) {
	p := e.receipt.Position
	if p == 0 && len(e.events) == 0 && e.kind == streamrules.Append && !e.meta {
		return // nothing was to be written
	}
	i, ok := slices.BinarySearchFunc(all, p, func(r eventstore.Recorded, p eventstore.Position) int { return cmp.Compare(r.Position, p) })
	if !ok {
		require.True(t, l.gaps && l.touched[e.stream], "entry %d was acknowledged at position %d and is lost", e.n, p)
		return
	}
	last := all[i]
	switch {
	case e.kind == streamrules.Tombstone:
		require.Equal(t, eventstore.TypeTombstone, last.Type, "entry %d", e.n)
		require.Equal(t, e.stream, last.Stream, "entry %d", e.n)
		return
	case e.kind == streamrules.Delete || e.meta:
		require.Equal(t, eventstore.TypeStreamMetadata, last.Type, "entry %d", e.n)
		require.Equal(t, eventstore.MetadataStream(e.stream), last.Stream, "entry %d", e.n)
		return
	}
	require.Equal(t, e.stream, last.Stream, "entry %d", e.n)
	require.Equal(t, e.events[len(e.events)-1].ID, last.ID, "entry %d", e.n)
	require.Equal(t, e.receipt.Version, last.Version, "entry %d", e.n)
}

// checkGroups demands that the events of an append are together and whole, as
// they were asked for, and once. It returns the entries that it has seen.
func (l *ledger) checkGroups(t require.TestingT, all []eventstore.Recorded) map[int]bool {
	found := make(map[int]bool)
	deleted := make(map[string]bool)
	for i := 0; i < len(all); i++ {
		r := all[i]
		if orig, isMeta := streamrules.Original(r.Stream); isMeta {
			deleted[orig] = streamrules.Metadata(r.ContentType, r.Data).Deleted()
		}
		n, err := strconv.Atoi(r.Metadata.Get("n"))
		if err != nil {
			continue
		}
		require.Less(t, n, len(l.entries), "nobody has asked for entry %d yet", n)
		e := l.entries[n]
		require.False(t, found[n], "entry %d is there twice", n)
		found[n] = true
		require.Equal(t, fmt.Sprint(len(e.events)), r.Metadata.Get("count"))
		gone, _ := strconv.Atoi(r.Metadata.Get("i"))
		require.True(t, gone == 0 || l.gaps && l.touched[e.stream], "entry %d is not whole", n)
		events := e.events[gone:]
		require.LessOrEqual(t, i+len(events), len(all), "entry %d is not whole", n)
		for j, want := range events {
			got := all[i+j]
			is := eventstore.Recorded{ID: want.ID, Stream: e.stream, Version: all[i].Version + eventstore.Version(j), Position: all[i].Position + eventstore.Position(j),
				Type: want.Type, ContentType: want.ContentType, Created: got.Created, Data: want.Data, Metadata: want.Metadata}
			if !equal(is, got) {
				require.Equal(t, is, got, "entry %d is not whole", n)
			}
		}
		i += len(events) - 1
		if deleted[e.stream] && !l.gaps { // the append brought the stream back in the same step
			require.Less(t, i+1, len(all), "entry %d is not whole", n)
			require.Equal(t, eventstore.MetadataStream(e.stream), all[i+1].Stream, "entry %d is not whole", n)
		}
	}
	return found
}

// checkIndex demands that positions and versions have no gaps, and that every
// way to read finds the same. It returns the log.
func checkIndex(t require.TestingT, s *logstore.Store) []eventstore.Recorded {
	return checkLog(t, s, false)
}

// checkLog is checkIndex for a store of which a scavenge may have removed
// events, the first ones of streams.
func checkLog(t require.TestingT, s *logstore.Store, gaps bool) []eventstore.Recorded {
	ctx := context.Background()
	all := collect(t, s.ReadAll(ctx, eventstore.ReadAllOptions{}))
	head, err := s.Head(ctx)
	require.NoError(t, err)
	require.True(t, gaps || int(head) == len(all), "%d events, head %d", len(all), head)
	require.EqualValues(t, len(all), s.Stats().Events)
	states := make(map[string]streamrules.State)
	streams := make(map[string][]eventstore.Recorded)
	kinds := make(map[string][]eventstore.Recorded)
	for i, r := range all {
		require.True(t, gaps && (i == 0 || all[i-1].Position < r.Position) || int(r.Position) == i+1, "positions have no gaps: %d at %d", r.Position, i)
		first := eventstore.Version(1)
		if gaps && len(streams[r.Stream]) > 0 {
			first = streams[r.Stream][0].Version
		} else if gaps {
			first = r.Version
		}
		require.Equal(t, first+eventstore.Version(len(streams[r.Stream])), r.Version, "versions have no gaps")
		streams[r.Stream] = append(streams[r.Stream], r)
		kinds[r.Type] = append(kinds[r.Type], r)
		st := states[r.Stream]
		st.Last, st.Tombstoned = r.Version, r.Type == eventstore.TypeTombstone
		states[r.Stream] = st
		if orig, isMeta := streamrules.Original(r.Stream); isMeta {
			st := states[orig]
			st.Meta = streamrules.Metadata(r.ContentType, r.Data)
			states[orig] = st
		}
	}
	if !gaps { // an index made again of a rewritten segment does not know which streams began there
		require.Len(t, streams, s.Stats().Streams)
	}
	for name, st := range states {
		if orig, isMeta := streamrules.Original(name); isMeta {
			st.Tombstoned = st.Tombstoned || states[orig].Tombstoned
		}
		checkStream(t, s, name, st, streams[name])
	}
	for name, want := range kinds {
		sameEvents(t, want, collect(t, s.ReadAll(ctx, eventstore.ReadAllOptions{Filter: eventstore.Filter{Types: []string{name}}})), "filtered by type "+name)
	}
	checkTags(t, s, all)
	back := collect(t, s.ReadAll(ctx, eventstore.ReadAllOptions{Backwards: true}))
	slices.Reverse(back)
	sameEvents(t, all, back, "read backwards")
	return all
}

// checkTags compares what the index finds of tags with what the log has. Of what
// was claimed there is one at most.
func checkTags(t require.TestingT, s *logstore.Store, all []eventstore.Recorded) {
	claims := make(map[string]eventstore.Position)
	for _, r := range all {
		for tag := range r.Metadata.Tags() {
			if strings.HasPrefix(tag, "claim:") {
				require.Zero(t, claims[tag], "%s is claimed at %d and %d", tag, claims[tag], r.Position)
				claims[tag] = r.Position
			}
		}
	}
	queries := []eventstore.Query{
		{{Tags: []string{"n:1"}}},
		{{Tags: []string{"n:3", "i:1"}}, {Tags: []string{"i:0"}, Types: []string{"numbered.0"}}, {Types: []string{"numbered.2"}}},
	}
	for tag := range claims {
		queries = append(queries, eventstore.Query{{Tags: []string{tag}}})
		break // any of them
	}
	for i, q := range queries {
		var want []eventstore.Recorded
		for _, r := range all {
			if q.Matches(r.Type, r.Metadata) {
				want = append(want, r)
			}
		}
		opts := eventstore.ReadQueryOptions{Backwards: i == 1}
		if opts.Backwards {
			slices.Reverse(want)
		}
		sameEvents(t, want, collect(t, s.ReadQuery(context.Background(), q, opts)), q.String())
	}
}

// checkStream compares what the index finds of a stream with what the log has.
func checkStream(t require.TestingT, s *logstore.Store, name string, st streamrules.State, events []eventstore.Recorded) {
	w, wantErr := st.Readable(name, time.Now)
	var got []eventstore.Recorded
	var gotErr error
	for r, err := range s.Read(context.Background(), name, eventstore.ReadOptions{}) {
		if gotErr = err; err == nil {
			got = append(got, r)
		}
	}
	require.Equal(t, wantErr, gotErr, "read %s", name)
	if wantErr != nil {
		return
	}
	from, to := w.Slice(eventstore.ReadOptions{})
	var want []eventstore.Recorded
	if from > 0 {
		first := events[0].Version
		want = events[max(from, first)-first : to-first+1]
	}
	sameEvents(t, want, got, "the index of "+name+" agrees with the log")
}

func collect(t require.TestingT, seq func(func(eventstore.Recorded, error) bool)) []eventstore.Recorded {
	var all []eventstore.Recorded
	for r, err := range seq {
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

// equal is faster than asking testify, which is asked only when it is false.
func equal(a, b eventstore.Recorded) bool {
	return a.ID == b.ID && a.Stream == b.Stream && a.Version == b.Version && a.Position == b.Position && a.Type == b.Type &&
		a.ContentType == b.ContentType && a.Created.Equal(b.Created) && bytes.Equal(a.Data, b.Data) && a.Metadata.Encoded() == b.Metadata.Encoded()
}

func sameEvents(t require.TestingT, want, got []eventstore.Recorded, what string) {
	if !slices.EqualFunc(want, got, equal) {
		require.Equal(t, want, got, what)
	}
}
