package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/projection/projectiontest"
)

// Guests of a hotel, as their events are today and as they were.
type (
	arrived struct{ Name string }
	moved   struct{ Room string }
	told    struct{ Wish string }

	arrivedV1 struct{ Name, Room string } // before moving was a fact of its own
	changedV1 struct{ Room, Wish string } // was split in two
	askedV1   struct{ What string }       // was renamed

	guestEvent interface{ isGuest() }
)

func (arrived) isGuest() {}
func (moved) isGuest()   {}
func (told) isGuest()    {}

var guestsThen = codec.New(codec.Type[arrivedV1]("guest.arrived"), codec.Type[changedV1]("guest.changed"), codec.Type[askedV1]("guest.asked"))

var guestsNow = codec.New(
	codec.Type[arrived]("guest.arrived", codec.SchemaVersion(2)),
	codec.Type[moved]("guest.moved"),
	codec.Type[told]("guest.told"),
	codec.Split("guest.arrived", 1, func(old arrivedV1) []guestEvent { return []guestEvent{arrived{old.Name}, moved{old.Room}} }),
	codec.Split("guest.changed", 1, func(old changedV1) (all []guestEvent) {
		if old.Room != "" {
			all = append(all, moved{old.Room})
		}
		if old.Wish != "" {
			all = append(all, told{old.Wish})
		}
		return all
	}, codec.Into[moved](), codec.Into[told]()),
	codec.Upcast("guest.asked", 1, func(old askedV1) told { return told{old.What} }),
)

type guest struct {
	Name, Room string
	Moves      int
	Wishes     []string
}

func (g guest) arrived(e arrived, _ projection.Meta) (guest, error) {
	g.Name = e.Name
	return g, nil
}

func (g guest) moved(e moved, _ projection.Meta) (guest, error) {
	if e.Room == "13" {
		return g, errors.New("there is no room 13")
	}
	g.Room = e.Room
	g.Moves++
	return g, nil
}

func (g guest) told(e told, _ projection.Meta) (guest, error) {
	g.Wishes = append(append([]string(nil), g.Wishes...), e.Wish)
	return g, nil
}

// hotel is a view whose events touch the guest, the rooms and the wishes.
type hotel struct {
	guests     *projection.Collection[guest]
	rooms      *projection.Counters
	wishes     *projection.Set
	projection *projection.Projection
}

func newHotel(views projection.ViewStore) *hotel {
	in := &projection.TargetOptions{View: "hotel"}
	h := &hotel{
		guests: projection.NewCollection[guest](views, "guests", codec.Msgpack, in),
		rooms:  projection.NewCounters(views, "rooms", in),
		wishes: projection.NewSet(views, "wishes", in),
	}
	h.projection = projection.New("hotel", guestsNow,
		projection.On(h.guests, guest.arrived),
		projection.On(h.guests, guest.moved),
		projection.On(h.guests, guest.told),
		projection.OnCount(h.rooms, func(e moved, _ projection.Meta) []projection.Delta { return []projection.Delta{{Key: e.Room, By: 1}} }),
		projection.OnSet(h.wishes, func(e told, m projection.Meta) []projection.SetChange {
			return []projection.SetChange{{Key: e.Wish, Member: m.ID}}
		}))
	return h
}

// tell appends values that one of the codecs knows, each in an event.
func tell(t testing.TB, store eventstore.Store, stream string, values ...any) {
	t.Helper()
	for _, v := range values {
		e, err := guestsNow.Encode(v)
		if errors.Is(err, codec.ErrUnregistered) {
			e, err = guestsThen.Encode(v)
		}
		require.NoError(t, err)
		_, err = store.Append(t.Context(), stream, eventstore.Any, e)
		require.NoError(t, err)
	}
}

func TestOldEventsAreTheFactsOfToday(t *testing.T) {
	t.Parallel()
	then := func(v any) eventstore.Event {
		e, err := guestsThen.Encode(v)
		require.NoError(t, err)
		return e
	}
	h := newHotel(projectiontest.NewStore())
	projectiontest.For(h.projection). // in many ways: live, restarted, rebuilt, on 1, 4 and 16 partitions
						Given("guest-1", then(arrivedV1{"ada", "7"}), then(changedV1{"8", "tea"}), told{"cake"}).
						Given("guest-2", arrived{"bob"}, then(changedV1{}), then(askedV1{"tea"})).
						Given("guest-1", moved{"9"}).
						Then(t,
			projectiontest.Document(h.guests, "1", guest{"ada", "9", 3, []string{"tea", "cake"}}),
			projectiontest.Document(h.guests, "2", guest{"bob", "", 0, []string{"tea"}}),
			projectiontest.Counter(h.rooms, "7", 1),
			projectiontest.Counter(h.rooms, "8", 1),
			projectiontest.SetMembers(h.wishes, "tea", "1", "2"),
		)
}

// TestAViewOfOldEventsIsThatOfTheSameFactsToldToday compares digests, with a
// rebuild of some keys and of all.
func TestAViewOfOldEventsIsThatOfTheSameFactsToldToday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		old, today := memstore.New(nil), memstore.New(nil)
		both := func(stream string, event any, facts ...any) {
			tell(t, old, stream, event)
			tell(t, today, stream, facts...)
		}
		for i := range 400 {
			stream := "guest-" + strconv.Itoa(random.IntN(40))
			room, wish := strconv.Itoa(random.IntN(12)), "w"+strconv.Itoa(random.IntN(5))
			switch i % 7 {
			case 0:
				both(stream, arrivedV1{"n" + wish, room}, arrived{"n" + wish}, moved{room})
			case 1:
				both(stream, changedV1{room, wish}, moved{room}, told{wish})
			case 2:
				both(stream, changedV1{Wish: wish}, told{wish})
			case 3:
				both(stream, changedV1{})
			case 4:
				both(stream, askedV1{wish}, told{wish})
			case 5:
				both(stream, arrived{"n"}, arrived{"n"})
			default:
				both(stream, moved{room}, moved{room})
			}
		}
		follow := func(store eventstore.Store) (*hotel, *projection.Runner) {
			h := newHotel(memview.New())
			r := projection.NewRunner(store, &projection.Options{Partitions: 4, BatchEvents: 3}, h.projection)
			start(t, r)
			require.NoError(t, r.WaitLevel(t.Context()))
			return h, r
		}
		digest := func(h *hotel) projection.DigestResult {
			v, err := h.projection.ViewStore().Active(t.Context(), "hotel")
			require.NoError(t, err)
			d, err := projection.Digest(t.Context(), h.projection.ViewStore(), "hotel", v.Number)
			require.NoError(t, err)
			return d
		}
		h, r := follow(old)
		reference, _ := follow(today)
		want := digest(reference)
		require.NotZero(t, want.Documents*want.Counters*want.SetMembers)
		assert.Equal(t, want, digest(h))
		require.NoError(t, r.RebuildStream(t.Context(), "hotel", "guest-1"))
		assert.Equal(t, want, digest(h), "after a rebuild of a stream")
		_, err := r.Rebuild(t.Context(), "hotel", nil)
		require.NoError(t, err)
		assert.Equal(t, want, digest(h), "after a rebuild")
	})
}

func TestAllPartsOfAnEventAreOneStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, h := memstore.New(nil), newHotel(memview.New())
		r := projection.NewRunner(store, nil, h.projection)
		start(t, r)
		tell(t, store, "guest-1", arrivedV1{"ada", "13"}, changedV1{Room: "8"})
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err := h.guests.Get(t.Context(), "1")
		require.ErrorIs(t, err, projection.ErrNotFound, "the first part was taken back with the second")
		parked, err := r.Parked(t.Context(), "hotel")
		require.NoError(t, err)
		for _, p := range parked {
			if p.Partition == projection.PartitionOf("1", 16) {
				require.Len(t, p.Events, 2)
				assert.Equal(t, "there is no room 13", p.Error)
			}
		}
		require.ErrorContains(t, r.RetryParked(t.Context(), "hotel", "guest-1"), "there is no room 13")
		require.NoError(t, r.DropParked(t.Context(), "hotel", "guest-1"))
		got, err := h.guests.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, guest{Room: "8", Moves: 1}, got, "parked events are upcast as well")
	})
}

func TestAViewOfANewTypeSkipsWhatItsNamesAreBesides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, views := memstore.New(nil), memview.New()
		rooms := projection.NewCounters(views, "rooms", nil)
		p := projection.New("rooms", guestsNow, projection.OnCount(rooms, func(e moved, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: e.Room, By: 1}}
		}))
		r := projection.NewRunner(store, nil, p)
		start(t, r)
		tell(t, store, "guest-1", arrivedV1{"ada", "7"}, arrived{"bob"}, changedV1{Wish: "tea"}, moved{"7"})
		require.NoError(t, r.WaitLevel(t.Context()))
		n, err := rooms.Get(t.Context(), "7")
		require.NoError(t, err)
		assert.Equal(t, int64(2), n)
		parked, err := r.Parked(t.Context(), "rooms")
		require.NoError(t, err)
		assert.Empty(t, parked, "today's arrivals are no moves, and that is no error")
	})
}

func TestAReactorReactsToEachPartInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		var did []string
		broken := true
		note := func(what string, m projection.Meta) { did = append(did, fmt.Sprint(m.Version, ".", m.Part, " ", what)) }
		p := projection.NewReactor("desk", guestsNow, memview.New(),
			projection.React(func(_ context.Context, e told, m projection.Meta) error { note("wish "+e.Wish, m); return nil }),
			projection.React(func(_ context.Context, e moved, m projection.Meta) error {
				if broken {
					return projection.Poison(errors.New("no key"))
				}
				note("room "+e.Room, m)
				return nil
			}))
		r := projection.NewRunner(store, nil, p)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		tell(t, store, "guest-1", askedV1{"tea"}, changedV1{"7", "cake"}, arrivedV1{"ada", "8"}, told{"milk"})
		require.NoError(t, r.WaitLevel(t.Context()))
		assert.Equal(t, []string{"1.0 wish tea"}, did)
		broken = false
		require.NoError(t, r.RetryParked(t.Context(), "desk", "guest-1"))
		assert.Equal(t, []string{"1.0 wish tea", "2.0 room 7", "2.1 wish cake", "3.1 room 8", "4.0 wish milk"}, did)
	})
}

func TestEventsOfANewerProgramWaitForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, views := memstore.New(nil), memview.New()
		newer := codec.New(codec.Type[arrived]("guest.arrived", codec.SchemaVersion(3)),
			codec.Upcast("guest.arrived", 1, func(arrivedV1) arrived { return arrived{} }),
			codec.Upcast("guest.arrived", 2, func(e arrived) arrived { return e }))
		e, err := newer.Encode(arrived{"ada"})
		require.NoError(t, err)
		h := newHotel(views)
		r := projection.NewRunner(store, nil, h.projection)
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err = store.Append(t.Context(), "guest-1", eventstore.Any, e)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.ErrorIs(t, status(t, r).Err, eventstore.ErrNewerSchema)
		parked, err := r.Parked(t.Context(), "hotel")
		require.NoError(t, err)
		require.Empty(t, parked, "nothing is wrong with the event")
		require.NoError(t, stop())

		guests := projection.NewCollection[guest](views, "guests", codec.Msgpack, &projection.TargetOptions{View: "hotel"})
		r = projection.NewRunner(store, nil, projection.New("hotel", newer, projection.On(guests, guest.arrived)))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		got, err := guests.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, "ada", got.Name)
	})
}

func TestAnUpcastThatFailsConcernsWhomeverItsEventMight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fails := true
		events := codec.New(codec.Type[moved]("guest.moved"), codec.Type[told]("guest.told"),
			codec.UpcastFrom("guest.changed", 1, func(old changedV1, _ eventstore.Recorded) ([]guestEvent, error) {
				if fails {
					return nil, errors.New("cannot say what it was")
				}
				return []guestEvent{moved{old.Room}, told{old.Wish}}, nil
			}))
		store, views := memstore.New(nil), memview.New()
		rooms := projection.NewCounters(views, "rooms", nil)
		var effects int
		r := projection.NewRunner(store, &projection.Options{Partitions: 4},
			projection.New("rooms", events, projection.OnCount(rooms, func(e moved, _ projection.Meta) []projection.Delta {
				return []projection.Delta{{Key: e.Room, By: 1}}
			})),
			projection.NewReactor("desk", events, views, projection.React(func(context.Context, told, projection.Meta) error {
				effects++
				return nil
			})))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		tell(t, store, "guest-1", changedV1{"7", "tea"})
		require.NoError(t, r.WaitLevel(t.Context()))
		for view, partitions := range map[string]int{"rooms": 4, "desk": 1} {
			parked, err := r.Parked(t.Context(), view)
			require.NoError(t, err)
			require.Len(t, parked, partitions, view)
			assert.Contains(t, parked[0].Error, "cannot say what it was")
		}
		fails = false
		require.NoError(t, r.RetryParked(t.Context(), "rooms", "guest-1"))
		require.NoError(t, r.RetryParked(t.Context(), "desk", "guest-1"))
		n, err := rooms.Get(t.Context(), "7")
		require.NoError(t, err)
		assert.Equal(t, int64(1), n)
		assert.Equal(t, 1, effects)
	})
}

func TestHandlersOfUpcastEventsAreCheckedToo(t *testing.T) {
	t.Parallel()
	e, err := guestsThen.Encode(changedV1{Wish: "tea"})
	require.NoError(t, err)
	calls := 0
	views := projectiontest.NewStore()
	guests := projection.NewCollection[guest](views, "guests", codec.Msgpack, nil)
	p := projection.New("guests", guestsNow, projection.On(guests, func(g guest, _ told, _ projection.Meta) (guest, error) {
		calls++
		g.Moves = calls
		return g, nil
	}))
	var impure *projection.ImpureError
	require.ErrorAs(t, projectiontest.For(p).Given("guest-1", e).Verify(t.Context()), &impure)
	assert.Contains(t, impure.Problem, "two calls with the same arguments gave different documents")
}
