// Package snapshottest has the suite that every [aggregate.SnapshotStore]
// passes.
package snapshottest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore"
)

// Run runs every clause on a store of its own. open returns one that is empty
// and ends with its test.
func Run(t *testing.T, open func(t *testing.T) aggregate.SnapshotStore) {
	t.Helper()
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, &fixture{open(t), t})
		})
	}
}

// A clause is one rule, named as one.
type clause struct {
	name string
	run  func(t *testing.T, f *fixture)
}

type fixture struct {
	store aggregate.SnapshotStore
	t     *testing.T
}

func (f *fixture) save(s aggregate.Snapshot) {
	f.t.Helper()
	require.NoError(f.t, f.store.SaveSnapshot(f.t.Context(), s))
}

// holds asserts that the store has s.
func (f *fixture) holds(s aggregate.Snapshot) {
	f.t.Helper()
	got, ok, err := f.store.LoadSnapshot(f.t.Context(), s.Stream)
	require.NoError(f.t, err)
	require.True(f.t, ok, "there is no snapshot of %s", s.Stream)
	assert.WithinDuration(f.t, s.Created, got.Created, time.Millisecond)
	got.Created = s.Created
	assert.Equal(f.t, s, got)
}

func (f *fixture) hasNone(stream string) {
	f.t.Helper()
	_, ok, err := f.store.LoadSnapshot(f.t.Context(), stream)
	require.NoError(f.t, err)
	assert.False(f.t, ok, "there is a snapshot of %s", stream)
}

// snapshot returns one at a version, and ten times that as position.
func snapshot(stream string, version eventstore.Version) aggregate.Snapshot {
	return aggregate.Snapshot{
		Stream: stream, Version: version, Position: eventstore.Position(10 * version), Schema: "1-abc", ContentType: "application/x",
		Created: time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, time.UTC).Add(time.Duration(version) * time.Minute),
		Data:    append([]byte{0, 0xff, '\r', '\n'}, stream...),
	}
}

var clauses = []clause{
	{"ThereIsNoneAtFirst", func(_ *testing.T, f *fixture) { f.hasNone("order-1") }},
	{"WhatIsSavedComesBack", func(_ *testing.T, f *fixture) {
		for _, stream := range []string{"order-1", "order-{1}", "order-a:b c☃\n", "order-" + strings.Repeat("x", 500)} {
			s := snapshot(stream, 3)
			f.save(s)
			f.holds(s)
		}
	}},
	{"LargeNumbersAndDataAreKept", func(_ *testing.T, f *fixture) {
		s := snapshot("order-1", 1)
		s.Version, s.Position, s.Data = 1<<53+1, 1<<63-1, bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		f.save(s)
		f.holds(s)
	}},
	{"StreamsAreApart", func(_ *testing.T, f *fixture) {
		f.save(snapshot("order-1", 1))
		f.save(snapshot("order-10", 2))
		f.save(snapshot("cart-1", 3))
		f.holds(snapshot("order-1", 1))
		f.holds(snapshot("order-10", 2))
		f.holds(snapshot("cart-1", 3))
		f.hasNone("order-")
		f.hasNone("order-2")
	}},
	{"ANewerOneReplaces", func(_ *testing.T, f *fixture) {
		for v := range eventstore.Version(5) {
			s := snapshot("order-1", v+1)
			s.Data = s.Data[:v]
			f.save(s)
			s.Data = append([]byte{}, s.Data...)
			f.holds(s)
		}
	}},
	{"AnOlderOneDoesNot", func(_ *testing.T, f *fixture) {
		f.save(snapshot("order-1", 10)) // position 100, which is less than 90 as text
		f.save(snapshot("order-1", 9))
		f.holds(snapshot("order-1", 10))
	}},
	{"OneOfTheSameEventReplaces", func(_ *testing.T, f *fixture) {
		f.save(snapshot("order-1", 2))
		s := snapshot("order-1", 2)
		s.Schema, s.ContentType, s.Data = "2-xyz", "application/y", []byte("other")
		f.save(s)
		f.holds(s)
	}},
	{"PositionsAreWhatCounts", func(_ *testing.T, f *fixture) { // a store restored from an older backup goes on so
		f.save(snapshot("order-1", 20))
		s := snapshot("order-1", 5)
		s.Position = 201
		f.save(s)
		f.holds(s)
	}},
	{"OfManyAtOnceTheNewestStays", func(t *testing.T, f *fixture) {
		const n = 8
		var wg sync.WaitGroup
		for v := range eventstore.Version(n) {
			wg.Go(func() {
				// Who was overtaken again and again may give up; the newest cannot be.
				if err := f.store.SaveSnapshot(t.Context(), snapshot("order-1", v+1)); v+1 < n && err != nil {
					assert.ErrorIs(t, err, eventstore.ErrConflict)
				}
			})
		}
		wg.Wait()
		f.save(snapshot("order-1", n))
		f.holds(snapshot("order-1", n))
	}},
	{"ADeletedOneIsGone", func(t *testing.T, f *fixture) {
		f.save(snapshot("order-1", 1))
		f.save(snapshot("order-1", 2))
		f.save(snapshot("order-2", 1))
		require.NoError(t, f.store.DeleteSnapshot(t.Context(), "order-1"))
		f.hasNone("order-1")
		f.holds(snapshot("order-2", 1))
		require.NoError(t, f.store.DeleteSnapshot(t.Context(), "order-1"), "again")
		require.NoError(t, f.store.DeleteSnapshot(t.Context(), "order-3"), "there never was one")
	}},
	{"ADeletedOneCanBeSavedAgain", func(t *testing.T, f *fixture) {
		f.save(snapshot("order-1", 5))
		require.NoError(t, f.store.DeleteSnapshot(t.Context(), "order-1"))
		f.save(snapshot("order-1", 4))
		f.holds(snapshot("order-1", 4))
		f.save(snapshot("order-1", 6))
		f.holds(snapshot("order-1", 6))
		require.NoError(t, f.store.DeleteSnapshot(t.Context(), "order-1"))
		f.hasNone("order-1")
	}},
	{"DataIsTheCallersAgain", func(t *testing.T, f *fixture) {
		s := snapshot("order-1", 1)
		f.save(s)
		clear(s.Data)
		f.holds(snapshot("order-1", 1))
		got, _, err := f.store.LoadSnapshot(t.Context(), "order-1")
		require.NoError(t, err)
		_ = append(got.Data, "more"...)
		f.holds(snapshot("order-1", 1))
	}},
	{"ADoneContextIsAnError", func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := f.store.LoadSnapshot(ctx, "order-1")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, f.store.SaveSnapshot(ctx, snapshot("order-1", 1)), context.Canceled)
		require.ErrorIs(t, f.store.DeleteSnapshot(ctx, "order-1"), context.Canceled)
		f.hasNone("order-1")
	}},
}
