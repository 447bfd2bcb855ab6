package projectiontest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

const (
	view       = "order-summary"
	docs       = "orders"
	counts     = "sales"
	index      = "by-customer"
	sets       = "tags"
	partitions = 4
)

// A clause is one rule, named as one.
type clause struct {
	name string
	run  func(t *testing.T, s *suite)
}

// A suite is what a clause works with: a store of its own, that holds version 1
// of one view, which is not active.
type suite struct {
	store projection.ViewStore
}

// RunViewStore runs every clause on a store of its own. open returns one that
// is empty and ends with its test.
func RunViewStore(t *testing.T, open func(t *testing.T) projection.ViewStore) {
	t.Helper()
	for _, group := range [][]clause{
		versionClauses, leaseClauses, noteClauses, commitClauses, fenceClauses, sessionClauses, readClauses, topClauses, indexClauses, setClauses, perKeyClauses,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := &suite{store: open(t)}
				s.create(t, 1)
				c.run(t, s)
			})
		}
	}
}

func (s *suite) create(t *testing.T, version int) {
	t.Helper()
	require.NoError(t, s.store.CreateVersion(t.Context(), view, info(version)))
}

func (s *suite) activate(t *testing.T, version int) {
	t.Helper()
	require.NoError(t, s.store.Activate(t.Context(), view, version))
}

func info(version int) projection.VersionInfo {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return projection.VersionInfo{Number: version, Partitions: partitions, Definition: 10 + version, Created: created}
}

// acquire takes a partition over with a session that ends with the test.
func (s *suite) acquire(t *testing.T, version, partition int) projection.Session {
	t.Helper()
	session, err := s.store.Acquire(t.Context(), view, version, partition)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() }) // a clause may have closed it
	return session
}

// commit makes the changes of b with a session of its own, at one position
// after the last.
func (s *suite) commit(t *testing.T, version, partition int, b projection.Batch) {
	t.Helper()
	session := s.acquire(t, version, partition)
	b.Position = session.Checkpoint().Position + 1
	require.NoError(t, session.Commit(t.Context(), &b))
	require.NoError(t, session.Close())
}

// put stores one document in the partition that its key belongs to.
func (s *suite) put(t *testing.T, version int, key, value string) {
	t.Helper()
	s.commit(t, version, partitionOf(key), batch(0, document(key, value)))
}

func partitionOf(key string) int { return projection.PartitionOf(key, partitions) }

// A change is a part of a batch.
type change func(*projection.Batch)

func batch(position eventstore.Position, changes ...change) projection.Batch {
	b := projection.Batch{Position: position}
	for _, c := range changes {
		c(&b)
	}
	return b
}

func documents(b *projection.Batch) *projection.DocumentChanges {
	if len(b.Documents) == 0 {
		b.Documents = []projection.DocumentChanges{{Collection: docs}}
	}
	return &b.Documents[0]
}

func document(key, value string) change {
	return func(b *projection.Batch) {
		d := documents(b)
		d.Put = append(d.Put, projection.KeyValue{Key: key, Value: []byte(value)})
	}
}

func noDocument(key string) change {
	return func(b *projection.Batch) {
		d := documents(b)
		d.Delete = append(d.Delete, key)
	}
}

func counter(key string, value int64) change {
	return func(b *projection.Batch) {
		if len(b.Counters) == 0 {
			b.Counters = []projection.CounterChanges{{Collection: counts}}
		}
		b.Counters[0].Set = append(b.Counters[0].Set, projection.Count{Key: key, Value: value})
	}
}

func entry(e projection.Entry) change {
	return func(b *projection.Batch) {
		if len(b.Indexes) == 0 {
			b.Indexes = []projection.IndexChanges{{Collection: index}}
		}
		b.Indexes[0].Entries = append(b.Indexes[0].Entries, e)
	}
}

func member(key, member string, score float64) change {
	return entry(projection.Entry{Key: key, Member: member, Score: score})
}

func noMember(key, member string) change {
	return entry(projection.Entry{Key: key, Member: member, Remove: true})
}

func setChange(c projection.SetChange) change {
	return func(b *projection.Batch) {
		if len(b.Sets) == 0 {
			b.Sets = []projection.SetChanges{{Collection: sets}}
		}
		b.Sets[0].Changes = append(b.Sets[0].Changes, c)
	}
}

func inSet(key, member string) change {
	return setChange(projection.SetChange{Key: key, Member: member})
}

func notInSet(key, member string) change {
	return setChange(projection.SetChange{Key: key, Member: member, Remove: true})
}

func parked(stream string, data []byte) change {
	return func(b *projection.Batch) {
		b.Parked = append(b.Parked, projection.ParkedChange{Stream: stream, Data: data})
	}
}

// read returns documents of the active version as strings, "<nil>" for one
// that is missing.
func (s *suite) read(t *testing.T, keys ...string) []string {
	t.Helper()
	values, err := s.store.Documents(t.Context(), view, docs, keys)
	require.NoError(t, err)
	require.Len(t, values, len(keys))
	return texts(values)
}

func texts(values [][]byte) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = "<nil>"
		if v != nil {
			all[i] = string(v)
		}
	}
	return all
}

// checkpoint returns where a partition is.
func (s *suite) checkpoint(t *testing.T, version, partition int) projection.Checkpoint {
	t.Helper()
	cks, err := s.store.Checkpoints(t.Context(), view, version)
	require.NoError(t, err)
	require.Len(t, cks, partitions)
	return cks[partition]
}

// dump returns everything in a version, sorted.
func (s *suite) dump(t *testing.T, version int) []projection.Item {
	t.Helper()
	var items []projection.Item
	for item, err := range s.store.Dump(t.Context(), view, version) {
		require.NoError(t, err)
		items = append(items, item)
	}
	return sorted(items)
}

func sorted(items []projection.Item) []projection.Item {
	slices.SortFunc(items, func(a, b projection.Item) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Collection, b.Collection),
			strings.Compare(a.Key, b.Key), strings.Compare(a.Member, b.Member))
	})
	return items
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
