package esdbserver_test

import (
	"io"
	"math"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// onEachStore runs a test over the two stores of our own.
func onEachStore(t *testing.T, test func(t *testing.T, store eventstore.Store)) {
	t.Helper()
	t.Run("memstore", func(t *testing.T) { t.Parallel(); test(t, memstore.New(nil)) })
	t.Run("logstore", func(t *testing.T) {
		t.Parallel()
		store, err := logstore.Open(t.TempDir(), &logstore.Options{Sync: logstore.SyncNever})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		test(t, store)
	})
}

// only lists s/n for each number.
func only(stream string, revisions ...int) []string {
	out := []string{}
	for _, r := range revisions {
		out = append(out, stream+"/"+strconv.Itoa(r))
	}
	return out
}

func TestReadsOfAStream(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s", 5)
		c.mustAppend("other", 1)
		all, down := only("s", 0, 1, 2, 3, 4), only("s", 4, 3, 2, 1, 0)
		for _, x := range []struct {
			what string
			read []change
			want []string
		}{
			{"all", []change{ofStream("s", atStart)}, all},
			{"from a revision, which is included", []change{ofStream("s", 2)}, only("s", 2, 3, 4)},
			{"from the last", []change{ofStream("s", 4)}, only("s", 4)},
			{"from beyond", []change{ofStream("s", 5)}, only("s")},
			{"from far beyond", []change{ofStream("s", math.MaxInt64)}, only("s")},
			{"from the end", []change{ofStream("s", atEnd)}, only("s")},
			{"backwards from the end", []change{ofStream("s", atEnd), backwards}, down},
			{"backwards from a revision, which is included", []change{ofStream("s", 1), backwards}, only("s", 1, 0)},
			{"backwards from beyond", []change{ofStream("s", 99), backwards}, down},
			{"backwards from far beyond", []change{ofStream("s", math.MaxInt64), backwards}, down},
			{"backwards from the start", []change{ofStream("s", atStart), backwards}, only("s", 0)},
			{"none", []change{ofStream("s", atStart), count(0)}, only("s")},
			{"one", []change{ofStream("s", atStart), count(1)}, only("s", 0)},
			{"the last", []change{ofStream("s", atEnd), backwards, count(1)}, only("s", 4)},
			{"as many as there can be", []change{ofStream("s", atStart), count(math.MaxUint64)}, all},
			{"no such stream", []change{ofStream("none", atStart)}, []string{"not found: none"}},
			{"none of no such stream", []change{ofStream("none", atStart), count(0)}, []string{"not found: none"}},
			{"no such stream, from its end", []change{ofStream("none", atEnd)}, []string{"not found: none"}},
			{"no such stream, backwards", []change{ofStream("none", atEnd), backwards}, []string{"not found: none"}},
			{"no name", []change{ofStream("", atStart)}, []string{"InvalidArgument"}},
			{"$all as a stream", []change{ofStream("$all", atStart)}, []string{"InvalidArgument"}},
		} {
			assert.Equal(t, x.want, c.shows(x.read...), x.what)
		}
		end := reading(ofStream("s", 0))
		end.Options.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: math.MaxUint64}
		assert.Empty(t, c.shows(func(o *streams.ReadReq_Options) { o.StreamOption = end.Options.StreamOption }))
	})
}

func TestCombinationsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 1)
	filter := filtered(byType("", "t"), 0, 1)
	for _, x := range []struct {
		what string
		read []change
		want codes.Code
	}{
		{"a filtered stream", []change{ofStream("s", atStart), filter}, codes.InvalidArgument},
		{"a filtered subscription to a stream", []change{ofStream("s", atStart), filter, live}, codes.InvalidArgument},
		{"a subscription backwards", []change{ofStream("s", atStart), live, backwards}, codes.InvalidArgument},
		{"a subscription to $all backwards", []change{ofAll(atStart), live, backwards}, codes.InvalidArgument},
		{"a filtered one", []change{ofAll(atStart), live, backwards, filter}, codes.InvalidArgument},
		{"nothing said", []change{func(o *streams.ReadReq_Options) { *o = streams.ReadReq_Options{} }}, codes.InvalidArgument},
		{"no form of ids", []change{ofStream("s", atStart), func(o *streams.ReadReq_Options) { o.UuidOption = nil }}, codes.InvalidArgument},
		{"no stream", nil, codes.InvalidArgument},
		{"no count", []change{ofStream("s", atStart), func(o *streams.ReadReq_Options) { o.CountOption = nil }}, codes.InvalidArgument},
		{"no filter option", []change{ofStream("s", atStart), func(o *streams.ReadReq_Options) { o.FilterOption = nil }}, codes.InvalidArgument},
		{"a third direction", []change{ofStream("s", atStart), func(o *streams.ReadReq_Options) { o.ReadDirection = 2 }}, codes.InvalidArgument},
		{"no revision", []change{ofStream("s", atStart), func(o *streams.ReadReq_Options) { o.GetStream().RevisionOption = nil }}, codes.InvalidArgument},
		{"no revision to subscribe from", []change{ofStream("s", atStart), live, func(o *streams.ReadReq_Options) { o.GetStream().RevisionOption = nil }}, codes.InvalidArgument},
		{"no position", []change{ofAll(atStart), func(o *streams.ReadReq_Options) { o.GetAll().AllOption = nil }}, codes.InvalidArgument},
		{"no position backwards", []change{ofAll(atStart), backwards, func(o *streams.ReadReq_Options) { o.GetAll().AllOption = nil }}, codes.InvalidArgument},
		{"no position to subscribe from", []change{ofAll(atStart), live, func(o *streams.ReadReq_Options) { o.GetAll().AllOption = nil }}, codes.InvalidArgument},
		{"commit before prepare", []change{ofAllAt(1, 2)}, codes.InvalidArgument},
		{"commit before prepare, backwards", []change{ofAllAt(1, 2), backwards}, codes.InvalidArgument},
		{"commit before prepare, live", []change{ofAllAt(1, 2), live}, codes.InvalidArgument},
	} {
		resps, err := c.read(x.read...)
		assert.Equal(t, x.want, status.Code(err), "%s: %v", x.what, err)
		assert.Empty(t, resps, x.what)
	}
}

// Most clients know nothing but events in a read, and the Go client panics at
// anything else.
func TestControlMessagesComeOnlyToThoseWhoKnowThem(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 5)
	assert.Equal(t, only("s", 3, 4), c.shows(ofStream("s", 3)))
	assert.Equal(t, append(only("s", 3, 4), "last 4"), c.shows(ofStream("s", 3), compatible))
	assert.Equal(t, append(only("s", 1, 0), "last 4"), c.shows(ofStream("s", 1), compatible, backwards))
	c.setMetadata("s", `{"$tb":3}`)
	assert.Equal(t, append(only("s", 3), "last 4"), c.shows(ofStream("s", 0), compatible, count(1)))
	c.setMetadata("s", `{"$tb":5}`)
	assert.Equal(t, only("s"), c.shows(ofStream("s", 0)))
	assert.Equal(t, []string{"last 4"}, c.shows(ofStream("s", 0), compatible), "also when nothing is readable")
	assert.Equal(t, []string{"not found: none"}, c.shows(ofStream("none", 0), compatible))
	for _, m := range c.shows(ofAll(atStart), compatible) {
		assert.Contains(t, m, "/", "a read of $all has no ends")
	}
}

// Truncation hides events; numbers never change.
func TestTruncatedStreams(t *testing.T) {
	t.Parallel()
	var late atomic.Int64 // seconds
	began := time.Now()
	store := memstore.New(&memstore.Options{Now: func() time.Time { return began.Add(time.Duration(late.Load()) * time.Second) }})
	c := stubOf(t, store)
	c.mustAppend("s", 5)
	for _, x := range []struct {
		meta string
		want []string
	}{
		{`{"$maxCount":2}`, only("s", 3, 4)},
		{`{"$maxCount":9}`, only("s", 0, 1, 2, 3, 4)},
		{`{"$tb":3}`, only("s", 3, 4)},
		{`{"$tb":4,"$maxCount":3}`, only("s", 4)},
		{`{"$tb":5}`, only("s")},
		{`{"$tb":0}`, only("s", 0, 1, 2, 3, 4)},
		{`{"$maxCount":-1,"$tb":4}`, only("s", 4)},                      // numbers that are not positive are ignored one by one
		{`{"$tb":4,"$acl":"$userStreamAcl"}`, only("s", 0, 1, 2, 3, 4)}, // what is of a wrong type makes all of it nothing
		{`{"$tb":"4"}`, only("s", 0, 1, 2, 3, 4)},
		{`{"$tb":4`, only("s", 0, 1, 2, 3, 4)},
		{`{"$tb":4,"mine":[1]}`, only("s", 4)},
	} {
		c.setMetadata("s", x.meta)
		assert.Equal(t, x.want, c.shows(ofStream("s", atStart)), x.meta)
	}
	binary := proposal(eventstore.NewID(), "$metadata", `{"$tb":4}`)
	binary.Metadata["content-type"] = "application/octet-stream"
	_, _, err := c.append("$$s", wantAny, binary)
	require.NoError(t, err)
	assert.Equal(t, only("s", 0, 1, 2, 3, 4), c.shows(ofStream("s", atStart)), "metadata that is not JSON")

	c.setMetadata("s", `{"$maxCount":2}`)
	assert.Equal(t, only("s", 4, 3), c.shows(ofStream("s", atEnd), backwards))
	assert.Equal(t, only("s"), c.shows(ofStream("s", 2), backwards))
	assert.Equal(t, only("s", 3), c.shows(ofStream("s", 1), count(1)), "it begins where it can")
	c.setMetadata("s", `{"$maxAge":60}`)
	late.Store(50)
	c.mustAppend("s", 1)
	assert.Len(t, c.shows(ofStream("s", atStart)), 6)
	late.Store(70)
	assert.Equal(t, only("s", 5), c.shows(ofStream("s", atStart)))
	late.Store(200)
	assert.Equal(t, only("s"), c.shows(ofStream("s", atStart)), "the end, not an error")
	assert.Equal(t, only("s"), c.shows(ofStream("s", atStart), count(0)))
}

func linkTo(c stub, data string) string {
	resp, _, err := c.append("links", wantAny, proposal(eventstore.NewID(), "$>", data))
	require.NoError(c.t, err)
	return "links/" + strconv.FormatUint(resp.GetSuccess().GetCurrentRevision(), 10)
}

func TestLinksAreResolvedWhenAskedFor(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s", 3)
		c.mustAppend("a@b", 1)
		c.mustAppend("gone", 1)
		c.mustAppend("dead", 1)
		c.mustDelete(false, "gone")
		c.mustDelete(true, "dead")
		c.mustAppend("cut", 3)
		c.setMetadata("cut", `{"$tb":2}`)
		var plain, resolved []string
		for _, x := range []struct{ data, to string }{
			{"1@s", " -> s/1"},
			{"0@a@b", " -> a@b/0"},
			{"3@s", " -> nothing"}, // not written yet
			{"0@none", " -> nothing"},
			{"0@gone", " -> nothing"},
			{"0@dead", " -> nothing"},
			{"1@cut", " -> nothing"},
			{"2@cut", " -> cut/2"},
			{"9223372036854775807@s", " -> nothing"},
			{"0@", " -> nothing"},
			{"x@s", ""}, // no number: it is sent as it is
			{"-1@s", ""},
			{"18446744073709551616@s", ""},
			{"s", ""},
			{"", ""},
		} {
			link := linkTo(c, x.data)
			plain = append(plain, link)
			resolved = append(resolved, link+x.to)
		}
		assert.Equal(t, plain, c.shows(ofStream("links", atStart)))
		assert.Equal(t, resolved, c.shows(ofStream("links", atStart), resolving))
		onType := filtered(byType("", "$>"), 0, 1)
		assert.Equal(t, resolved, c.shows(ofAll(atStart), onType, resolving))
		sub := c.subscribe(ofStream("links", atStart), resolving)
		assert.Equal(t, append(append([]string{"confirmed"}, resolved...), "caught up"), sub.next(len(resolved)+2))
		resps, err := c.read(ofStream("links", 0), resolving, count(1))
		require.NoError(t, err)
		e := resps[0].GetEvent()
		assert.Equal(t, e.GetLink().GetCommitPosition(), e.GetCommitPosition(), "the position is the link's")
		assert.Less(t, e.GetEvent().GetCommitPosition(), e.GetLink().GetCommitPosition())
	})
}

// A link shows nothing that its reader may not read, and says so in no trailer.
func TestLinksToWhatMayNotBeRead(t *testing.T) {
	t.Parallel()
	c := serve(t, memstore.New(nil), &esdbserver.Options{Users: testUsers()}).stub(t)
	c.as("admin").mustAppend("secret", 1)
	c.as("admin").setMetadata("secret", `{"$acl":{"$r":"ada"}}`)
	linkTo(c, "0@secret")
	resps, trailer, err := c.readAll(ofStream("links", atStart), resolving)
	require.NoError(t, err)
	assert.Equal(t, []string{"links/0 -> nothing"}, show(resps...))
	assert.Empty(t, trailer["exception"])
	assert.Equal(t, []string{"links/0 -> secret/0"}, c.as("ada").shows(ofStream("links", atStart), resolving))
}

func TestTheOfficialClientReads(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		s := serve(t, store, nil)
		s.stub(t).mustAppend("s", 100)
		c := s.client(t)
		r, err := c.ReadStream(t.Context(), "s", esdb.ReadStreamOptions{From: esdb.Revision(7)}, math.MaxUint64)
		require.NoError(t, err)
		defer r.Close()
		for i := 7; i < 100; i++ {
			e, err := r.Recv()
			require.NoError(t, err)
			assert.EqualValues(t, i, e.Event.EventNumber)
			assert.Equal(t, strconv.Itoa(i), string(e.Event.Data))
			assert.Equal(t, e.Event.Position.Commit, *e.Commit)
			assert.WithinDuration(t, time.Now(), e.Event.CreatedDate, time.Minute)
		}
		_, err = r.Recv()
		require.ErrorIs(t, err, io.EOF)
		none, err := c.ReadStream(t.Context(), "none", esdb.ReadStreamOptions{}, 1)
		require.NoError(t, err)
		defer none.Close()
		_, err = none.Recv()
		var known *esdb.Error
		require.ErrorAs(t, err, &known)
		assert.Equal(t, esdb.ErrorCodeResourceNotFound, known.Code())
	})
}
