package esdbserver_test

import (
	"math"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// seven writes s/0 … s/4 at 9 … 13 and u/0, u/1 at 14 and 15, after the first
// eight system events.
func seven(c stub) (forwards, down []string) {
	c.mustAppend("s", 5)
	c.mustAppend("u", 2)
	forwards = append(only("s", 0, 1, 2, 3, 4), only("u", 0, 1)...)
	down = slices.Clone(forwards)
	slices.Reverse(down)
	return forwards, down
}

func TestReadsOfAll(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		all, down := seven(c)
		none := []string{}
		for _, x := range []struct {
			what string
			read []change
			want []string
		}{
			{"forwards from a position, which is included", []change{ofAll(9)}, all},
			{"from within", []change{ofAll(14)}, all[5:]},
			{"from the last", []change{ofAll(15)}, all[6:]},
			{"from beyond", []change{ofAll(16)}, none},
			{"from far beyond", []change{ofAll(math.MaxInt64)}, none},
			{"from the end", []change{ofAll(atEnd)}, none},
			{"from the highest position", []change{ofAllAt(math.MaxUint64, math.MaxUint64)}, none},
			{"a commit after its prepare", []change{ofAllAt(14, 13)}, all[5:]},
			{"some", []change{ofAll(10), count(3)}, all[1:4]},
			{"none", []change{ofAll(9), count(0)}, none},
			{"backwards from a position, which is left out", []change{ofAll(14), backwards, count(5)}, down[2:]},
			{"backwards from the end", []change{ofAll(atEnd), backwards, count(7)}, down},
			{"backwards from beyond", []change{ofAll(99), backwards, count(7)}, down},
			{"backwards from the highest position", []change{ofAllAt(math.MaxUint64, math.MaxUint64), backwards, count(7)}, down},
			{"backwards from the start", []change{ofAll(atStart), backwards}, none},
			{"backwards from 0", []change{ofAll(0), backwards}, none},
			{"backwards from the first", []change{ofAll(1), backwards}, none},
			{"backwards, none", []change{ofAll(atEnd), backwards, count(0)}, none},
		} {
			assert.Equal(t, x.want, c.shows(x.read...), x.what)
		}
		assert.Len(t, c.shows(ofAll(atStart)), 15, "system events too")
		assert.Len(t, c.shows(ofAll(0)), 15)
		assert.Len(t, c.shows(ofAll(atEnd), backwards), 15)
		assert.Equal(t, []string{"$users/1"}, c.shows(ofAll(9), backwards, count(1)))
	})
}

// Positions rise, and are the same wherever an event is read.
func TestPositionsRise(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		seven(c)
		at := map[string]uint64{}
		last := uint64(0)
		resps, err := c.read(ofAll(atStart))
		require.NoError(t, err)
		for _, r := range resps {
			e := r.GetEvent().GetEvent()
			assert.Greater(t, e.GetCommitPosition(), last)
			last = e.GetCommitPosition()
			assert.Equal(t, last, e.GetPreparePosition())
			assert.Equal(t, last, r.GetEvent().GetCommitPosition())
			at[show(r)[0]] = last
		}
		resps, err = c.read(ofStream("s", atStart))
		require.NoError(t, err)
		for _, r := range resps {
			assert.Equal(t, at[show(r)[0]], r.GetEvent().GetEvent().GetPreparePosition())
		}
	})
}

// $all has what was deleted and truncated, and what says so; what the server
// itself writes for subscriptions to $all is left out.
func TestWhatIsInAll(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("soft", 1)
		c.mustDelete(false, "soft")
		c.mustAppend("hard", 1)
		c.mustDelete(true, "hard")
		c.mustAppend("cut", 1)
		c.setMetadata("cut", `{"$tb":9}`)
		want := []string{"soft/0", "$$soft/0", "hard/0", "hard/9223372036854775807", "cut/0", "$$cut/0"}
		for _, hidden := range []string{"$epoch-information", "$persistentsubscription-$all::g-checkpoint", "$persistentsubscription-$all::g-parked"} {
			c.mustAppend(hidden, 1)
			assert.Equal(t, only(hidden, 0), c.shows(ofStream(hidden, atStart)), "it can be read by name")
		}
		for _, shown := range []string{"$persistentsubscription-s::g-checkpoint", "$persistentsubscription-$all::g-other", "x$epoch-information"} {
			c.mustAppend(shown, 1)
			want = append(want, shown+"/0")
		}
		assert.Equal(t, want, c.shows(ofAll(9)))
		slices.Reverse(want)
		assert.Equal(t, want, c.shows(ofAll(atEnd), backwards, count(uint64(len(want)))))
		slices.Reverse(want)
		sub := c.subscribe(ofAll(8))
		assert.Equal(t, append(append([]string{"confirmed"}, want...), "caught up"), sub.next(len(want)+2))
		all := c.subscribe(ofAll(8), filtered(byStream("."), 0, 1))
		got := all.next(len(want) + 3)
		assert.Equal(t, want, got[1:len(want)+1], "hidden before filters see it")
	})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	for _, e := range []struct{ stream, typ string }{{"order-1", "placed"}, {"order-2", "paid"}, {"Order-3", "placed"}, {"user-1", "named"}, {"user-1", "$secret"}} {
		_, _, err := c.append(e.stream, wantAny, proposal(eventstore.NewID(), e.typ, ""))
		require.NoError(t, err)
	}
	for _, x := range []struct {
		what string
		by   *streams.ReadReq_Options_FilterOptions
		want []string
	}{
		{"prefix of the stream", byStream("", "order-"), []string{"order-1/0", "order-2/0"}},
		{"prefixes", byStream("", "Order-", "user"), []string{"Order-3/0", "user-1/0", "user-1/1"}},
		{"prefix of the type", byType("", "pl"), []string{"order-1/0", "Order-3/0"}},
		{"regex of the stream", byStream(`^\w+-[23]$`), []string{"order-2/0", "Order-3/0"}},
		{"regex of the type", byType("^p"), []string{"order-1/0", "order-2/0", "Order-3/0"}},
		{"a regex wins over prefixes", byType("^named$", "p"), []string{"user-1/0"}},
		{"no system events", byType(`^[^\$].*`), []string{"order-1/0", "order-2/0", "Order-3/0", "user-1/0"}},
		{"nothing", byType("", "none"), []string{}},
	} {
		assert.Equal(t, x.want, c.shows(ofAll(9), filtered(x.by, 0, 1)), x.what)
		assert.Equal(t, x.want, c.shows(ofAll(9), filtered(x.by, 1, 1)), x.what)
		sub := c.subscribe(ofAll(8), filtered(x.by, 100, 100))
		assert.Equal(t, append(append([]string{"confirmed"}, x.want...), "checkpoint 13/13", "caught up"), sub.next(len(x.want)+3), x.what)
	}
	assert.Equal(t, []string{"Order-3/0"}, c.shows(ofAll(atEnd), backwards, count(1), filtered(byType("^p"), 0, 1)), "as many as match")
	assert.Equal(t, []string{"order-2/0"}, c.shows(ofAll(10), count(1), filtered(byType("^p"), 0, 1)))
}

func TestFiltersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	windowless := byType("", "t")
	windowless.CheckpointIntervalMultiplier = 1
	windowless.Window = &streams.ReadReq_Options_FilterOptions_Max{}
	with := func(f *streams.ReadReq_Options_FilterOptions) change {
		return func(o *streams.ReadReq_Options) { o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f} }
	}
	for _, x := range []struct {
		what   string
		filter change
		live   bool // only then it matters
		code   codes.Code
	}{
		{"look-around, which .NET knows", filtered(byType(`^(?!\$)`), 0, 1), false, codes.InvalidArgument},
		{"a back-reference", filtered(byStream(`(a)\1`), 0, 1), false, codes.InvalidArgument},
		{"no regex", filtered(byStream(`(`), 0, 1), false, codes.InvalidArgument},
		{"a window of 0", with(windowless), false, codes.InvalidArgument},
		{"neither stream nor type", filtered(&streams.ReadReq_Options_FilterOptions{}, 0, 1), false, codes.InvalidArgument},
		{"nothing", with(nil), false, codes.InvalidArgument},
		{"a multiplier of 0", filtered(byType("", "t"), 0, 0), true, codes.Unknown},
	} {
		if !x.live {
			_, err := c.read(ofAll(atStart), x.filter)
			assert.Equal(t, x.code, status.Code(err), x.what)
		}
		code, _ := c.subscribe(ofAll(atStart), x.filter).end()
		assert.Equal(t, x.code, code, "%s: before the confirmation", x.what)
	}
}

func TestTheOfficialClientReadsAll(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	seven(s.stub(t))
	c := s.client(t)
	r, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Position{Commit: 14, Prepare: 14}, Direction: esdb.Backwards}, 2)
	require.NoError(t, err)
	defer r.Close()
	for _, want := range []uint64{4, 3} {
		e, err := r.Recv()
		require.NoError(t, err)
		assert.Equal(t, want, e.Event.EventNumber)
	}
}
