package aggregate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A studio has an event store that counts what is read, and snapshots in
// another one.
type studio struct {
	t         *testing.T
	store     *reading
	kept      *eventstoretest.Faulty // where the snapshots are
	snapshots aggregate.SnapshotStore

	mu    sync.Mutex
	saved []eventstore.Version
	errs  []error
}

func newStudio(t *testing.T) *studio {
	kept := eventstoretest.NewFaulty(memstore.New(nil))
	return &studio{t: t, store: &reading{Store: memstore.New(nil)}, kept: kept, snapshots: aggregate.NewStoreSnapshots(kept, nil)}
}

// open returns a repository of a process of its own. Without a change to its
// options it has no cache and takes a snapshot every 10 events.
func (s *studio) open(change func(*aggregate.Options)) (*command.Bus, *aggregate.Repository[account, event]) {
	return newBus(s.store, s.options(change))
}

func (s *studio) options(change func(*aggregate.Options)) *aggregate.Options {
	opts := &aggregate.Options{Cache: -1, Snapshots: &aggregate.SnapshotOptions{
		Store: s.snapshots, Every: 10,
		OnSave: func(_ context.Context, snap aggregate.Snapshot) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.saved = append(s.saved, snap.Version)
		},
		OnError: func(_ context.Context, _ string, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errs = append(s.errs, err)
		},
	}}
	if change != nil {
		change(opts)
	}
	return opts
}

// versions returns of which versions snapshots were saved since it was asked
// last. It must be called in a bubble.
func (s *studio) versions() []eventstore.Version {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := s.saved
	s.saved = nil
	return saved
}

// deposits sends so many deposits of 1, and what they lead to is done.
func (s *studio) deposits(bus *command.Bus, n int) {
	for range n {
		deposits(s.t, bus, "1", 1)
		synctest.Wait()
	}
}

func (s *studio) errors() []error {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := s.errs
	s.errs = nil
	return errs
}

func inBubble(t *testing.T, f func(t *testing.T, s *studio)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newStudio(t)) })
}

func TestASnapshotSparesReadingWhatItHas(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, _ := s.open(nil)
		s.deposits(bus, 25)
		require.Equal(t, []eventstore.Version{10, 20}, s.versions())

		_, other := s.open(nil)
		s.store.taken()
		assert.EqualValues(t, 25, balance(t, other, "1"))
		assert.Equal(t, 6, s.store.taken(), "the event of the snapshot and the five after it")

		l, err := other.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.EqualValues(t, 25, l.Version)
		assert.EqualValues(t, 25, l.Position)
		assert.Equal(t, 25, l.State.events, "each event counts once")
		assert.Empty(t, s.errors())
	})
}

func TestWhenSnapshotsAreDue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy func(*aggregate.SnapshotOptions)
		want   []eventstore.Version
	}{
		"default":         {func(*aggregate.SnapshotOptions) {}, nil},
		"every 7":         {func(o *aggregate.SnapshotOptions) { o.Every = 7 }, []eventstore.Version{7, 14, 21}},
		"every event":     {func(o *aggregate.SnapshotOptions) { o.Every = 1 }, span(1, 24)},
		"bytes":           {func(o *aggregate.SnapshotOptions) { o.Bytes = 8 * size }, []eventstore.Version{8, 16, 24}},
		"age":             {func(o *aggregate.SnapshotOptions) { o.Age = 6 * time.Minute }, []eventstore.Version{7, 13, 19}},
		"the first of it": {func(o *aggregate.SnapshotOptions) { o.Every, o.Age = 20, 10*time.Minute }, []eventstore.Version{11, 21}},
	} {
		for _, cache := range []int{0, -1} {
			t.Run(fmt.Sprintf("%s, cache %d", name, cache), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, s *studio) {
					bus, _ := s.open(func(o *aggregate.Options) {
						o.Cache, o.Snapshots.Every = cache, 0
						tt.policy(o.Snapshots)
					})
					for range 24 {
						s.deposits(bus, 1)
						time.Sleep(time.Minute)
					}
					assert.Equal(t, tt.want, s.versions())
				})
			})
		}
	}
}

// size is that of a deposit of 1, with the ids of its command.
var size = func() int {
	store := memstore.New(nil)
	bus, _ := newBus(store, nil)
	_, _ = command.Send(context.Background(), bus, deposit{"1", 1})
	for rec := range store.Read(context.Background(), "account-1", eventstore.ReadOptions{}) {
		return len(rec.Data) + rec.Metadata.Size() + 2*len(rec.Type)
	}
	return 0
}()

func span(from, to eventstore.Version) (all []eventstore.Version) {
	for v := from; v <= to; v++ {
		all = append(all, v)
	}
	return all
}

func TestAGroupIsInItsSnapshot(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, _ := s.open(nil)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := command.Send(t.Context(), bus, deposit{"1", 1})
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		require.NotEmpty(t, s.versions())
		_, other := s.open(nil)
		assert.EqualValues(t, 100, balance(t, other, "1"))
		assert.Empty(t, s.errors())
	})
}

func TestACommandIsRecognizedAfterLoadingFromASnapshot(t *testing.T) {
	t.Parallel()
	for name, warm := range map[string]bool{"cold": false, "loaded without ids": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *studio) {
				keep := func(o *aggregate.Options) { o.Cache, o.Snapshots.Every = 0, 150 }
				bus, _ := s.open(keep)
				var first eventstore.Receipt
				for i := range 160 {
					r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("c"+strconv.Itoa(i)))
					require.NoError(t, err)
					if i == 70 {
						first = r
					}
				}
				require.Equal(t, []eventstore.Version{150}, s.versions())

				bus, accounts := s.open(keep)
				if warm {
					balance(t, accounts, "1")
				}
				s.store.taken()
				again, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("c70"))
				require.NoError(t, err)
				first.Repeated = true
				assert.Equal(t, first, again)
				assert.Less(t, s.store.taken(), 25, "the stream was read for the ids of its commands")
				assert.EqualValues(t, 160, balance(t, accounts, "1"))
				r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("new"))
				require.NoError(t, err)
				assert.False(t, r.Repeated)
			})
		})
	}
}

// What a snapshot is not, or what can become of it, costs time and nothing else.
func TestASnapshotIsNeverNeeded(t *testing.T) {
	t.Parallel()
	anew := func(t *testing.T, s *studio) { // the stream is deleted, and the aggregate is another one
		_, err := s.store.Delete(t.Context(), "account-1", eventstore.Any)
		require.NoError(t, err)
		bus, _ := newBus(s.store, nil)
		s.deposits(bus, 5)
	}
	change := func(f func(*aggregate.Snapshot)) func(*testing.T, *studio) {
		return func(t *testing.T, s *studio) {
			snap, ok, err := s.snapshots.LoadSnapshot(t.Context(), "account-1")
			require.NoError(t, err)
			require.True(t, ok)
			snap.Data = append([]byte{}, snap.Data...)
			f(&snap)
			require.NoError(t, s.snapshots.DeleteSnapshot(t.Context(), "account-1"))
			require.NoError(t, s.snapshots.SaveSnapshot(t.Context(), snap))
		}
	}
	for name, tt := range map[string]struct {
		happens func(*testing.T, *studio)
		opts    func(*aggregate.Options)
		says    string
		balance int64
	}{
		"lost": {func(t *testing.T, s *studio) {
			require.NoError(t, s.snapshots.DeleteSnapshot(t.Context(), "account-1"))
		}, nil, "", 25},
		"store is away":   {func(_ *testing.T, s *studio) { s.kept.FailRead(0) }, nil, "unavailable", 25},
		"store is closed": {func(t *testing.T, s *studio) { require.NoError(t, s.kept.Close()) }, nil, "closed", 25},
		"damaged":         {change(func(s *aggregate.Snapshot) { s.Data[len(s.Data)/2] ^= 1 }), nil, "damaged", 25},
		"cut":             {change(func(s *aggregate.Snapshot) { s.Data = s.Data[:3] }), nil, "cut", 25},
		"empty":           {change(func(s *aggregate.Snapshot) { s.Data = nil }), nil, "cut", 25},
		"of the future":   {change(func(s *aggregate.Snapshot) { s.Data[0] = 9 }), nil, "format 9", 25},
		"misnamed":        {change(func(s *aggregate.Snapshot) { s.Version-- }), nil, "damaged", 25},
		"other version":   {func(*testing.T, *studio) {}, func(o *aggregate.Options) { o.Snapshots.Version = 2 }, "another schema", 25},
		"deleted stream":  {anew, nil, "another history", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *studio) {
				bus, _ := s.open(nil)
				s.deposits(bus, 25)
				require.Equal(t, []eventstore.Version{10, 20}, s.versions())
				tt.happens(t, s)
				bus, accounts := s.open(tt.opts)
				assert.Equal(t, tt.balance, balance(t, accounts, "1"))
				_, err := command.Send(t.Context(), bus, withdraw{"1", tt.balance})
				require.NoError(t, err, "no command fails because of a snapshot")
				errs := s.errors()
				if tt.says == "" {
					assert.Empty(t, errs)
					return
				}
				require.NotEmpty(t, errs)
				assert.ErrorContains(t, errs[0], tt.says)
			})
		})
	}
}

// A stream that was made anew can have the same versions and positions.
func TestASnapshotOfAnotherStoreIsNotUsed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, _ := s.open(nil)
		s.deposits(bus, 10)
		require.Equal(t, []eventstore.Version{10}, s.versions())
		s.store = &reading{Store: memstore.New(nil)}
		plain, _ := newBus(s.store, nil)
		for range 10 {
			_, err := command.Send(t.Context(), plain, deposit{"1", 3})
			require.NoError(t, err)
		}
		_, accounts := s.open(nil)
		assert.EqualValues(t, 30, balance(t, accounts, "1"))
		assert.ErrorContains(t, s.errors()[0], "another history")
	})
}

func TestAStoreRestoredFromAnOlderBackup(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, _ := s.open(nil)
		s.deposits(bus, 25)
		require.Equal(t, []eventstore.Version{10, 20}, s.versions())
		backup := memstore.New(nil)
		for rec, err := range s.store.ReadAll(t.Context(), eventstore.ReadAllOptions{Limit: 15}) {
			require.NoError(t, err)
			_, err = backup.Append(t.Context(), rec.Stream, eventstore.Any, eventstore.Event{ID: rec.ID, Type: rec.Type, ContentType: rec.ContentType, Data: rec.Data, Metadata: rec.Metadata})
			require.NoError(t, err)
		}
		s.store = &reading{Store: backup}
		bus, accounts := s.open(nil)
		assert.EqualValues(t, 15, balance(t, accounts, "1"))
		s.deposits(bus, 20) // past where the lost history ended
		assert.EqualValues(t, 35, balance(t, accounts, "1"))
		s.versions()
		s.store.taken()
		balance(t, accounts, "1")
		assert.Less(t, s.store.taken(), 15, "the snapshot of the lost history was not replaced")
	})
}

// grown is account after a field was added.
type grown struct {
	balance int64
	events  int
	largest int64
}

func (g grown) Evolve(e event) grown {
	g.events++
	if e, ok := e.(deposited); ok {
		g.balance += e.Cents
		g.largest = max(g.largest, e.Cents)
	}
	return g
}

func TestAnotherTypeOfStateHasSnapshotsOfItsOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, old := s.open(nil)
		s.deposits(bus, 12)
		require.Equal(t, []eventstore.Version{10}, s.versions())

		accounts := aggregate.NewRepository[grown](s.store, "account", events, s.options(nil))
		l, err := accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, grown{balance: 12, events: 12, largest: 1}, l.State)
		require.ErrorIs(t, s.errors()[0], aggregate.ErrSchema)

		// The next occasion replaces it, and then the old program ignores it.
		_, err = accounts.Execute(t.Context(), "1", func(grown) ([]event, error) { return []event{deposited{5}}, nil })
		require.NoError(t, err)
		require.Equal(t, []eventstore.Version{13}, s.versions())
		s.errors()
		s.store.taken()
		l, err = accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.EqualValues(t, 5, l.State.largest)
		assert.Equal(t, 1, s.store.taken())
		assert.EqualValues(t, 17, balance(t, old, "1"))
		require.ErrorIs(t, s.errors()[0], aggregate.ErrSchema)
	})
}

func TestASaveThatFailsIsNoticedAndTriedAgainLater(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, _ := s.open(nil)
		s.kept.FailAppend(1, false)
		s.deposits(bus, 15)
		assert.Empty(t, s.versions())
		require.Len(t, s.errors(), 1, "tried once")
		time.Sleep(time.Minute)
		s.deposits(bus, 1)
		assert.Equal(t, []eventstore.Version{16}, s.versions())
	})
}

// slow saves when it is told to.
type slow struct {
	aggregate.SnapshotStore
	saving chan aggregate.Snapshot
	goOn   chan struct{}
}

func (s *slow) SaveSnapshot(ctx context.Context, snap aggregate.Snapshot) error {
	s.saving <- snap
	select {
	case <-s.goOn:
		return s.SnapshotStore.SaveSnapshot(ctx, snap)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestNoCommandWaitsForASave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		store := &slow{s.snapshots, make(chan aggregate.Snapshot, 10), make(chan struct{})}
		bus, accounts := s.open(func(o *aggregate.Options) { o.Snapshots.Store = store })
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			_, err := command.Send(ctx, bus, deposit{"1", 1})
			require.NoError(t, err)
		}
		cancel() // the save goes on without the command
		<-store.saving
		s.deposits(bus, 30)
		assert.EqualValues(t, 40, balance(t, accounts, "1"))
		synctest.Wait()
		assert.Empty(t, store.saving, "one save at a time of one aggregate")
		close(store.goOn)
		assert.Equal(t, []eventstore.Version{10}, s.versions())
		s.deposits(bus, 1)
		assert.Equal(t, []eventstore.Version{41}, s.versions())
	})
}

func TestASaveThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		store := &slow{s.snapshots, make(chan aggregate.Snapshot, 10), make(chan struct{})}
		bus, _ := s.open(func(o *aggregate.Options) { o.Snapshots.Store = store })
		s.deposits(bus, 10)
		time.Sleep(time.Minute)
		require.ErrorIs(t, s.errors()[0], context.DeadlineExceeded)
	})
}

// A process that ends between the append and the save has lost nothing.
func TestAProcessThatEndsBeforeTheSave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		store := &slow{s.snapshots, make(chan aggregate.Snapshot, 10), make(chan struct{})}
		bus, _ := s.open(func(o *aggregate.Options) { o.Snapshots.Store = store })
		for i := range 10 {
			_, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID(strconv.Itoa(i)))
			require.NoError(t, err)
		}
		<-store.saving // and that was its end

		bus, accounts := s.open(nil)
		assert.EqualValues(t, 10, balance(t, accounts, "1"))
		r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("9"))
		require.NoError(t, err)
		assert.True(t, r.Repeated)
		close(store.goOn)
	})
}

func TestTwoProcessesTakeSnapshotsOfOneAggregate(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		keep := func(o *aggregate.Options) { o.Cache = 0 }
		one, _ := s.open(keep)
		two, accounts := s.open(keep)
		for range 50 {
			s.deposits(one, 1)
			s.deposits(two, 2)
		}
		synctest.Wait()
		snap, ok, err := s.snapshots.LoadSnapshot(t.Context(), "account-1")
		require.NoError(t, err)
		require.True(t, ok)
		assert.GreaterOrEqual(t, snap.Version, eventstore.Version(140), "the newest stays")
		assert.EqualValues(t, 150, balance(t, accounts, "1"))
		assert.Empty(t, s.errors())
		_, other := s.open(nil)
		assert.EqualValues(t, 150, balance(t, other, "1"))
	})
}

func TestTruncatedStreams(t *testing.T) {
	t.Parallel()
	set := func(t *testing.T, s *studio, meta eventstore.StreamMetadata) {
		t.Helper()
		_, err := s.store.SetStreamMetadata(t.Context(), "account-1", eventstore.Any, meta)
		require.NoError(t, err)
	}
	inBubble(t, func(t *testing.T, s *studio) {
		bus, accounts := s.open(nil)
		for i := range 25 {
			_, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID(strconv.Itoa(i)))
			require.NoError(t, err)
			synctest.Wait()
		}
		require.Equal(t, []eventstore.Version{10, 20}, s.versions())

		set(t, s, eventstore.StreamMetadata{TruncateBefore: 20})
		assert.EqualValues(t, 25, balance(t, accounts, "1"), "the snapshot has what is hidden")
		set(t, s, eventstore.StreamMetadata{MaxCount: 6})
		assert.EqualValues(t, 25, balance(t, accounts, "1"))
		r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("3"))
		require.NoError(t, err)
		assert.True(t, r.Repeated, "the command of an event that is hidden")
		assert.EqualValues(t, 4, r.Version)
		assert.EqualValues(t, 20, r.Position, "no earlier than its own")
		assert.EqualValues(t, 25, balance(t, accounts, "1"))

		set(t, s, eventstore.StreamMetadata{MaxCount: 5})
		_, err = accounts.Load(t.Context(), "1")
		var truncated *aggregate.TruncatedError
		require.ErrorAs(t, err, &truncated, "the snapshot cannot be compared with the stream any more")
		assert.Equal(t, aggregate.TruncatedError{Stream: "account-1", First: 21}, *truncated)
		_, err = command.Send(t.Context(), bus, deposit{"1", 1})
		require.ErrorIs(t, err, aggregate.ErrTruncated)

		set(t, s, eventstore.StreamMetadata{TruncateBefore: 20})
		_, changed := s.open(func(o *aggregate.Options) { o.Snapshots.Version = 2 })
		_, err = changed.Load(t.Context(), "1")
		require.ErrorIs(t, err, aggregate.ErrTruncated, "rather than a state of the last events alone")
	})
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, accounts := s.open(nil)
		s.deposits(bus, 24)
		set := eventstore.StreamMetadata{CacheControl: time.Minute, Custom: map[string]json.RawMessage{"mine": json.RawMessage(`1`)}}
		_, err := s.store.SetStreamMetadata(t.Context(), "account-1", eventstore.Any, set)
		require.NoError(t, err)

		v, err := accounts.Truncate(t.Context(), "1")
		require.NoError(t, err)
		assert.EqualValues(t, 24, v)
		meta, _, err := s.store.StreamMetadata(t.Context(), "account-1")
		require.NoError(t, err)
		assert.EqualValues(t, 24, meta.TruncateBefore)
		assert.Equal(t, time.Minute, meta.CacheControl)
		assert.Contains(t, meta.Custom, "mine")
		s.deposits(bus, 3)
		assert.EqualValues(t, 27, balance(t, accounts, "1"))
		_, err = accounts.Truncate(t.Context(), "1")
		require.NoError(t, err, "again")
		assert.EqualValues(t, 27, balance(t, accounts, "1"))

		require.NoError(t, s.snapshots.DeleteSnapshot(t.Context(), "account-1"))
		_, err = accounts.Load(t.Context(), "1")
		require.ErrorIs(t, err, aggregate.ErrTruncated)

		// Deleted, it begins anew like any other.
		_, err = s.store.Delete(t.Context(), "account-1", eventstore.Any)
		require.NoError(t, err)
		s.deposits(bus, 2)
		assert.EqualValues(t, 2, balance(t, accounts, "1"))

		v, err = accounts.Truncate(t.Context(), "2")
		require.NoError(t, err, "there is none")
		assert.Zero(t, v)
	})
}

func TestASnapshotOnDemand(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		bus, accounts := s.open(nil)
		v, err := accounts.Snapshot(t.Context(), "1")
		require.NoError(t, err)
		assert.Zero(t, v)
		s.deposits(bus, 3)
		v, err = accounts.Snapshot(t.Context(), "1")
		require.NoError(t, err)
		assert.EqualValues(t, 3, v)
		s.store.taken()
		assert.EqualValues(t, 3, balance(t, accounts, "1"))
		assert.Equal(t, 1, s.store.taken())
		require.Equal(t, []eventstore.Version{3}, s.versions())

		require.NoError(t, s.kept.Close())
		_, err = accounts.Snapshot(t.Context(), "1")
		require.ErrorIs(t, err, eventstore.ErrClosed)
		_, plain := newBus(s.store, nil)
		_, err = plain.Snapshot(t.Context(), "1")
		require.ErrorContains(t, err, "Options.Snapshots")
	})
}

// secretive hides a field from MessagePack, and forgets one by itself.
type (
	secretive struct {
		Cents  int64
		inside struct{ owner string }
	}
	forgetful struct {
		Cents int64
		Cache int64 `msgpack:"-"`
	}
	wordy struct{ Cents int64 }
)

func (s secretive) Evolve(event) secretive { s.Cents++; s.inside.owner = "x"; return s }
func (f forgetful) Evolve(event) forgetful { f.Cents++; f.Cache = f.Cents; return f }
func (w wordy) Evolve(event) wordy         { w.Cents++; return w }

type refusing struct{ codec.Encoding }

func (refusing) Append([]byte, any) ([]byte, error) { panic("not today") }

func TestStatesThatDoNotComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		msgpack := func(o *aggregate.Options) { o.Snapshots.Encoding = codec.Msgpack }
		says := func() (text string) {
			defer func() { text = fmt.Sprint(recover()) }()
			aggregate.NewRepository[secretive](s.store, "account", events, s.options(msgpack))
			return ""
		}()
		assert.Contains(t, says, "aggregate_test.secretive.inside is not exported")
		aggregate.NewRepository[secretive](s.store, "account", events, s.options(nil))

		// What shows only in the value is found before it is saved.
		bus, _ := newBus(s.store, nil)
		s.deposits(bus, 10)
		some := func() error { return errors.Join(s.errors()...) }
		decide := []event{deposited{1}}
		lossy := aggregate.NewRepository[forgetful](s.store, "account", events, s.options(msgpack))
		_, err := lossy.Execute(t.Context(), "1", func(forgetful) ([]event, error) { return decide, nil })
		require.NoError(t, err)
		assert.ErrorContains(t, some(), "Cache: 11 -> 0")
		failing := aggregate.NewRepository[wordy](s.store, "account", events, s.options(func(o *aggregate.Options) { o.Snapshots.Encoding = refusing{codec.Msgpack} }))
		_, err = failing.Execute(t.Context(), "1", func(wordy) ([]event, error) { return decide, nil })
		require.NoError(t, err)
		assert.ErrorContains(t, some(), "not today")
		assert.Empty(t, s.versions())

		fine := aggregate.NewRepository[wordy](s.store, "account", events, s.options(func(o *aggregate.Options) { o.Snapshots.Encoding = codec.JSON }))
		_, err = fine.Execute(t.Context(), "1", func(wordy) ([]event, error) { return decide, nil })
		require.NoError(t, err)
		require.Equal(t, []eventstore.Version{13}, s.versions())
		l, err := fine.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, wordy{13}, l.State)
		assert.NoError(t, some())
	})
}

type boxed struct{ last event }

func (b boxed) Evolve(e event) boxed { return boxed{e} }

func TestStatesThatCannotBeKeptDoNotStart(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for says, opts := range map[string]*aggregate.SnapshotOptions{
		"boxed.last is of kind interface": {Store: aggregate.NewStoreSnapshots(store, nil)},
		"Store is nil":                    {},
	} {
		func() {
			defer func() { assert.Contains(t, fmt.Sprint(recover()), says) }()
			aggregate.NewRepository[boxed](store, "account", events, &aggregate.Options{Snapshots: opts})
		}()
	}
}

func BenchmarkLoad1000Events(b *testing.B) {
	for name, kept := range map[string]bool{"from events": false, "from a snapshot": true} {
		b.Run(name, func(b *testing.B) {
			store := memstore.New(nil)
			opts := &aggregate.Options{Cache: -1}
			if kept {
				opts.Snapshots = &aggregate.SnapshotOptions{Store: aggregate.NewStoreSnapshots(store, nil)}
			}
			_, accounts := newBus(store, opts)
			_, err := accounts.Execute(b.Context(), "1", func(account) ([]event, error) {
				all := make([]event, 1000)
				for i := range all {
					all[i] = deposited{1}
				}
				return all, nil
			})
			require.NoError(b, err)
			if kept {
				_, err = accounts.Snapshot(b.Context(), "1")
				require.NoError(b, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if l, err := accounts.Load(b.Context(), "1"); err != nil || l.State.balance != 1000 {
					b.Fatal(l, err)
				}
			}
		})
	}
}
