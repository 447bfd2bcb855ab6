package logstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A model is a logstore and a memstore to which the same happens.
type model struct {
	dir  string
	opts *logstore.Options
	log  *logstore.Store
	mem  *memstore.Store
	ids  []eventstore.ID
}

// The same random operations must get the same answers from both stores.
func TestAgreesWithMemstore(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "") //nolint:usetesting // one for each of rapid's runs
		require.NoError(t, err)
		clock := time.Unix(1_700_000_000, 0)
		now := func() time.Time { return clock }
		m := &model{dir: dir, opts: &logstore.Options{SegmentSize: 4096, Sync: logstore.SyncNever, Now: now}}
		m.mem = memstore.New(&memstore.Options{Now: now})
		m.open(t)
		defer func() { require.NoError(t, m.log.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"append":    m.append,
			"again":     m.append,
			"delete":    m.delete,
			"tombstone": m.tombstone,
			"metadata":  m.metadata,
			"read":      m.read,
			"readAll":   m.readAll,
			"later":     func(*rapid.T) { clock = clock.Add(30 * time.Second) },
			"reopen": func(t *rapid.T) {
				require.NoError(t, m.log.Close())
				m.open(t)
			},
			"": m.check,
		})
	})
}

func (m *model) open(t *rapid.T) {
	var err error
	m.log, err = logstore.Open(m.dir, m.opts)
	require.NoError(t, err)
}

func drawStream(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a-1", "b-1", "c", "$$a-1"}).Draw(t, "stream")
}

func drawExpected(t *rapid.T) eventstore.Expected {
	return rapid.SampledFrom([]eventstore.Expected{eventstore.Any, eventstore.Any, eventstore.StreamExists, 0, 1, 2, 3, 4, 5, 6, 9}).Draw(t, "expected")
}

func (m *model) append(t *rapid.T) {
	var es []eventstore.Event
	for i := range rapid.IntRange(0, 4).Draw(t, "events") {
		id := eventstore.DeriveID(fmt.Sprint(len(m.ids)))
		if len(m.ids) > 0 && rapid.IntRange(0, 3).Draw(t, "old") == 0 {
			id = rapid.SampledFrom(m.ids).Draw(t, "id")
		} else {
			m.ids = append(m.ids, id)
		}
		es = append(es, eventstore.Event{
			ID: id, Type: "t." + fmt.Sprint(i%2), ContentType: eventstore.ContentTypeJSON,
			Data:     []byte(rapid.SampledFrom([]string{`{"$maxCount":2}`, `{"$tb":1}`, `{}`, `[]`, ``}).Draw(t, "data")),
			Metadata: eventstore.NewMetadata("n", fmt.Sprint(len(m.ids))),
		})
	}
	stream, x := drawStream(t), drawExpected(t)
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		return s.Append(context.Background(), stream, x, es...)
	})
}

func (m *model) delete(t *rapid.T) {
	stream, x := drawStream(t), drawExpected(t)
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) { return s.Delete(context.Background(), stream, x) })
}

func (m *model) tombstone(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
		t.Skip("else nothing is left")
	}
	stream, x := drawStream(t), drawExpected(t)
	m.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		return s.Tombstone(context.Background(), stream, x)
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
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(gotErr))
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

func (m *model) readAll(t *rapid.T) {
	opts := eventstore.ReadAllOptions{
		From:      eventstore.Position(rapid.Uint64Range(0, 20).Draw(t, "from")),
		Backwards: rapid.Bool().Draw(t, "backwards"),
		Limit:     rapid.IntRange(0, 9).Draw(t, "limit"),
		Filter: rapid.SampledFrom([]eventstore.Filter{
			{}, {Categories: []string{"a"}}, {Types: []string{"t.1"}}, {ExcludeSystem: true},
		}).Draw(t, "filter"),
	}
	same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
		return gather(s.ReadAll(context.Background(), opts))
	})
}

func (m *model) check(t *rapid.T) {
	for _, stream := range []string{"a-1", "b-1", "c"} {
		same(t, m, func(s eventstore.Store) ([]eventstore.Recorded, error) {
			return gather(s.Read(context.Background(), stream, eventstore.ReadOptions{}))
		})
		want, wantV, wantErr := m.mem.StreamMetadata(context.Background(), stream)
		got, gotV, gotErr := m.log.StreamMetadata(context.Background(), stream)
		require.Equal(t, wantErr, gotErr)
		require.Equal(t, wantV, gotV)
		require.Equal(t, want, got)
	}
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
