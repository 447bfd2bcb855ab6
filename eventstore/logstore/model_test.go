package logstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A model is a logstore on a simulated disk and a memstore, to which the same
// happens.
type model struct {
	base    string
	dir     string
	opts    logstore.Options
	disk    *simdisk.Disk
	log     *logstore.Store
	mem     *memstore.Store
	ids     []eventstore.ID
	appends []request
}

type request struct {
	stream    string
	x         eventstore.Expected
	condition *eventstore.Condition // instead of x
	events    []eventstore.Event
}

// The same random operations get the same answers from a logstore and a
// memstore, whatever happens to the former's process and power in between.
func TestTortureAgreesWithMemstore(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for range rounds(t, 1) {
		rapid.Check(t, func(t *rapid.T) { testModel(t, base) })
	}
}

func testModel(t *rapid.T, base string) {
	clock := time.Unix(1_700_000_000, 0)
	now := func() time.Time { return clock }
	m := &model{base: base, opts: logstore.Options{SegmentSize: 4096, Now: now}}
	m.mem = memstore.New(&memstore.Options{Now: now})
	m.dir = m.tempDir(t)
	m.open(t)
	defer func() {
		require.NoError(t, m.log.Close())
		require.NoError(t, os.RemoveAll(m.dir))
	}()
	t.Repeat(map[string]func(*rapid.T){
		"append":       m.append,
		"append more":  m.append,
		"append if":    m.appendIf,
		"read query":   m.readQuery,
		"repeat":       m.repeat,
		"delete":       m.delete,
		"metadata":     m.metadata,
		"read":         m.read,
		"readAll":      m.readAll,
		"subscribe":    m.subscribe,
		"subscribeAll": m.subscribeAll,
		"later":        func(*rapid.T) { clock = clock.Add(30 * time.Second) },
		"reopen":       m.reopen,
		"power cut":    m.powerCut,
		"":             m.check,
	})
}

func (m *model) tempDir(t *rapid.T) string {
	dir, err := os.MkdirTemp(m.base, "")
	require.NoError(t, err)
	return dir
}

func (m *model) open(t *rapid.T) {
	var err error
	m.disk, err = simdisk.New(m.dir)
	require.NoError(t, err)
	opts := logstore.WithFS(m.opts, m.disk)
	m.log, err = logstore.Open(m.dir, &opts)
	require.NoError(t, err)
}

func (m *model) reopen(t *rapid.T) {
	require.NoError(t, m.log.Close())
	m.open(t)
}

// powerCut kills the process or cuts the power. Everything was acknowledged,
// so nothing may be lost.
func (m *model) powerCut(t *rapid.T) {
	replay := m.disk.Replay()
	replay.To(m.disk.Len())
	loss := simdisk.Everything()
	if seed := rapid.Uint64().Draw(t, "power"); seed > 0 {
		loss = simdisk.Random(rand.New(rand.NewPCG(seed, 0)))
	}
	dir := m.tempDir(t)
	require.NoError(t, replay.Crash(dir, loss))
	require.NoError(t, m.log.Close())
	require.NoError(t, os.RemoveAll(m.dir))
	m.dir = dir
	m.open(t)
}

func drawStream(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a-1", "a-2", "b-1", "c", "$$a-1", "$sys-1"}).Draw(t, "stream")
}

func drawExpected(t *rapid.T) eventstore.Expected {
	return rapid.SampledFrom([]eventstore.Expected{eventstore.Any, eventstore.Any, eventstore.StreamExists, 0, 1, 2, 3, 4, 5, 6, 9, -3}).Draw(t, "expected")
}

func (m *model) drawEvent(t *rapid.T) eventstore.Event {
	id := eventstore.DeriveID(fmt.Sprint(len(m.ids)))
	if len(m.ids) > 0 && rapid.IntRange(0, 7).Draw(t, "old") == 0 {
		id = rapid.SampledFrom(m.ids).Draw(t, "id")
	} else {
		m.ids = append(m.ids, id)
	}
	e := eventstore.Event{
		ID:          id,
		Type:        rapid.SampledFrom([]string{"t.0", "t.1", "u", "$t", strings.Repeat("long", 100)}).Draw(t, "type"),
		ContentType: rapid.SampledFrom([]string{eventstore.ContentTypeJSON, eventstore.ContentTypeJSON, "", eventstore.ContentTypeMsgpack, "text/plain"}).Draw(t, "content type"),
		Data:        []byte(rapid.SampledFrom([]string{`{"$maxCount":2}`, `{"$tb":1}`, `{}`, `[]`, ``, "\x00", strings.Repeat("x", 300), strings.Repeat("\x00", 5000)}).Draw(t, "data")),
	}
	if rapid.Bool().Draw(t, "metadata") {
		e.Metadata = eventstore.NewMetadata("n", fmt.Sprint(len(m.ids)))
	}
	if tags := rapid.SampledFrom([]string{"", "", "a", "a,b:1", "b:1", "b:2,a,a", ",,b:2"}).Draw(t, "tags"); tags != "" {
		e.Metadata = e.Metadata.With(eventstore.KeyTags, tags)
	}
	return e
}

func (m *model) append(t *rapid.T) {
	r := request{stream: drawStream(t), x: drawExpected(t)}
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		r.events = append(r.events, m.drawEvent(t))
	}
	m.appends = append(m.appends, r)
	m.request(t, r)
}

func (m *model) request(t *rapid.T, r request) {
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		if r.condition != nil {
			return s.(eventstore.Conditional).AppendIf(context.Background(), r.stream, *r.condition, r.events...)
		}
		return s.Append(context.Background(), r.stream, r.x, r.events...)
	})
}

func drawQuery(t *rapid.T) eventstore.Query {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) eventstore.QueryItem {
		return eventstore.QueryItem{
			Types: rapid.SliceOfN(rapid.SampledFrom([]string{"t.0", "t.1", "$t", "never"}), 0, 2).Draw(t, "types"),
			Tags:  rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b:1", "b:2", "never"}), 0, 2).Draw(t, "tags"),
		}
	}), 0, 3).Draw(t, "query")
}

func (m *model) appendIf(t *rapid.T) {
	r := request{stream: drawStream(t), condition: &eventstore.Condition{Query: drawQuery(t)}}
	head, err := m.mem.Head(context.Background())
	require.NoError(t, err)
	if back := eventstore.Position(rapid.IntRange(0, 12).Draw(t, "back")); back < 12 && back <= head {
		r.condition.After = head - back
	}
	for range rapid.IntRange(0, 3).Draw(t, "events") {
		r.events = append(r.events, m.drawEvent(t))
	}
	m.appends = append(m.appends, r)
	m.request(t, r)
}

func (m *model) readQuery(t *rapid.T) {
	q := drawQuery(t)
	opts := eventstore.ReadQueryOptions{
		From:      eventstore.Position(rapid.Uint64Range(0, 40).Draw(t, "from")),
		Backwards: rapid.Bool().Draw(t, "backwards"),
		Limit:     rapid.IntRange(0, 9).Draw(t, "limit"),
	}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(s.(eventstore.Conditional).ReadQuery(context.Background(), q, opts))
	})
}

// repeat makes an append again, perhaps with another expectation or a part of
// the events.
func (m *model) repeat(t *rapid.T) {
	if len(m.appends) == 0 {
		m.append(t)
	}
	r := rapid.SampledFrom(m.appends).Draw(t, "which")
	if rapid.IntRange(0, 2).Draw(t, "other") == 0 {
		r.x, r.condition = drawExpected(t), nil
	}
	r.events = r.events[:len(r.events)-rapid.IntRange(0, len(r.events)).Draw(t, "fewer")/2]
	m.request(t, r)
}

// delete deletes a stream, seldom for ever: else nothing would be left.
func (m *model) delete(t *rapid.T) {
	stream, x := drawStream(t), drawExpected(t)
	forever := rapid.IntRange(0, 9).Draw(t, "for ever") == 0
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		if forever {
			return s.Tombstone(context.Background(), stream, x)
		}
		return s.Delete(context.Background(), stream, x)
	})
}

func (m *model) metadata(t *rapid.T) {
	stream, x := drawStream(t), drawExpected(t)
	meta := eventstore.StreamMetadata{
		MaxCount:       rapid.Uint64Range(0, 3).Draw(t, "max"),
		TruncateBefore: eventstore.Version(rapid.Uint64Range(0, 5).Draw(t, "tb")),
		MaxAge:         time.Duration(rapid.IntRange(0, 1).Draw(t, "age")) * time.Minute,
	}
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		return s.SetStreamMetadata(context.Background(), stream, x, meta)
	})
}

// both compares the answers of a change. The ids that stores make themselves
// differ, all else must not.
func (m *model) both(t *rapid.T, do func(eventstore.Store) (eventstore.Receipt, error)) {
	want, wantErr := do(m.mem)
	got, gotErr := do(m.log)
	require.Equal(t, wantErr, gotErr)
	require.Equal(t, want, got)
}

func (m *model) read(t *rapid.T) {
	stream := drawStream(t)
	opts := eventstore.ReadOptions{
		From:      eventstore.Version(rapid.Uint64Range(0, 9).Draw(t, "from")),
		Backwards: rapid.Bool().Draw(t, "backwards"),
		Limit:     rapid.IntRange(0, 3).Draw(t, "limit"),
	}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(s.Read(context.Background(), stream, opts))
	})
}

var filters = []eventstore.Filter{
	{},
	{Categories: []string{"a"}},
	{Categories: []string{"a", "c"}, Types: []string{"t.0", "u"}},
	{Types: []string{"t.1"}},
	{Types: []string{"never"}},
	{TypePrefixes: []string{"t", "$"}},
	{StreamPrefixes: []string{"a", "$$"}},
	{StreamRegexp: regexp.MustCompile("1$")},
	{TypeRegexp: regexp.MustCompile(`^t\.`), Categories: []string{"b", "$$a"}},
	{ExcludeSystem: true},
}

func (m *model) readAll(t *rapid.T) {
	opts := eventstore.ReadAllOptions{
		From:      eventstore.Position(rapid.Uint64Range(0, 40).Draw(t, "from")),
		Backwards: rapid.Bool().Draw(t, "backwards"),
		Limit:     rapid.IntRange(0, 9).Draw(t, "limit"),
		Filter:    rapid.SampledFrom(filters).Draw(t, "filter"),
	}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(s.ReadAll(context.Background(), opts))
	})
}

func (m *model) subscribe(t *rapid.T) {
	stream, opts := drawStream(t), eventstore.SubscribeOptions{After: eventstore.Version(rapid.Uint64Range(0, 9).Draw(t, "after"))}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(history(s.Subscribe(context.Background(), stream, opts)))
	})
}

func (m *model) subscribeAll(t *rapid.T) {
	opts := eventstore.SubscribeAllOptions{
		After:  eventstore.Position(rapid.Uint64Range(0, 40).Draw(t, "after")),
		Filter: rapid.SampledFrom(filters).Draw(t, "filter"),
	}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(history(s.SubscribeAll(context.Background(), opts)))
	})
}

// history yields the events of a subscription until it has caught up.
func history(seq func(func(eventstore.Message, error) bool)) func(func(eventstore.Recorded, error) bool) {
	return func(yield func(eventstore.Recorded, error) bool) {
		for msg, err := range seq {
			if msg.Kind == eventstore.MessageCaughtUp && err == nil {
				return
			}
			if (err != nil || msg.Kind == eventstore.MessageEvent) && !yield(msg.Event, err) {
				return
			}
		}
	}
}

func (m *model) check(t *rapid.T) {
	for _, stream := range []string{"a-1", "b-1", "c", "$$a-1"} {
		same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
			return gather(s.Read(context.Background(), stream, eventstore.ReadOptions{}))
		})
		want, wantV, wantErr := m.mem.StreamMetadata(context.Background(), stream)
		got, gotV, gotErr := m.log.StreamMetadata(context.Background(), stream)
		require.Equal(t, wantErr, gotErr)
		require.Equal(t, wantV, gotV)
		require.Equal(t, want, got)
	}
	want, err := m.mem.Head(context.Background())
	require.NoError(t, err)
	got, err := m.log.Head(context.Background())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func gather(seq func(func(eventstore.Recorded, error) bool)) (all []eventstore.Recorded, err error) {
	for r, e := range seq {
		if e != nil {
			return all, errors.Join(err, e)
		}
		if r.Type == eventstore.TypeStreamMetadata || r.Type == eventstore.TypeTombstone {
			r.ID = eventstore.ID{} // made by the store
		}
		if len(r.Data) == 0 {
			r.Data = nil
		}
		all = append(all, r)
	}
	return all, err
}

func same(t *rapid.T, m *model, do func(eventstore.Store) ([]eventstore.Recorded, error)) {
	want, wantErr := do(m.mem)
	got, gotErr := do(m.log)
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(gotErr))
	require.Equal(t, want, got)
}
