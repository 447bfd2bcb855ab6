package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/cli"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

type (
	placed struct{ Cents int64 }
	paid   struct{ Cents int64 }

	summary struct{ Cents, Paid int64 }
)

var orderEvents = codec.New(codec.Type[placed]("order.placed"), codec.Type[paid]("order.paid"))

// An app is an application that follows a view "orders" in a Redis of its own.
type app struct {
	url       string
	rdb       redis.UniversalClient
	store     *memstore.Store
	summaries *projection.Collection[summary]
	runner    *projection.Runner
	broken    atomic.Bool   // whether payments are refused
	slow      chan struct{} // while not nil a replay takes one before each event
	stop      func()
}

const prefix = "shop:"

func newApp(t *testing.T) *app {
	t.Helper()
	server := redistest.Start(t)
	a := &app{url: "redis://" + server.Addr(), rdb: server.Client(t), store: memstore.New(nil)}
	a.follow(t)
	return a
}

// follow starts the application.
func (a *app) follow(t *testing.T) {
	t.Helper()
	a.summaries = redisview.NewCollection[summary](a.rdb, "orders", &redisview.CollectionOptions{Options: redisview.Options{Prefix: prefix}})
	p := projection.New("orders", orderEvents,
		projection.On(a.summaries, func(s summary, e placed, m projection.Meta) (summary, error) {
			if a.slow != nil && m.Replay {
				<-a.slow
			}
			s.Cents = e.Cents
			return s, nil
		}),
		projection.On(a.summaries, func(s summary, e paid, _ projection.Meta) (summary, error) {
			if a.broken.Load() {
				return s, errors.New("card service\tsays no")
			}
			s.Paid += e.Cents
			return s, nil
		}))
	a.runner = projection.NewRunner(a.store, &projection.Options{Owner: "app/1", Partitions: 4, LeaseTTL: 300 * time.Millisecond}, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.runner.Run(ctx) }()
	stopped := false
	a.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			assert.NoError(t, <-done)
		}
	}
	t.Cleanup(a.stop)
}

// newSlowApp has ten orders, and folds of a rebuild that wait until slow is
// closed.
func newSlowApp(t *testing.T) *app {
	t.Helper()
	a := newApp(t)
	a.fill(t, 10)
	a.stop()
	a.slow = make(chan struct{})
	a.follow(t)
	a.level(t)
	return a
}

func (a *app) append(t *testing.T, stream string, events ...any) {
	t.Helper()
	for _, e := range events {
		encoded, err := orderEvents.Encode(e)
		require.NoError(t, err)
		_, err = a.store.Append(t.Context(), stream, eventstore.Any, encoded)
		require.NoError(t, err)
	}
}

// fill appends orders with a payment each, and waits until the view has them.
func (a *app) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		a.append(t, fmt.Sprint("order-", i), placed{int64(i)}, paid{1})
	}
	a.level(t)
}

func (a *app) level(t *testing.T) {
	t.Helper()
	require.NoError(t, a.runner.WaitLevel(t.Context()))
}

func (a *app) command(args ...string) []string {
	return append([]string{"projections", "-r", a.url, "-p", prefix, "-o", "table"}, args...)
}

// run carries out foldstream projections.
func (a *app) run(ctx context.Context, args ...string) result {
	var out, notes bytes.Buffer
	code := cli.Run(ctx, a.command(args...), strings.NewReader(""), &out, &notes)
	return result{code, out.String(), notes.String()}
}

// must is run of a command that goes well.
func (a *app) must(t *testing.T, args ...string) string {
	t.Helper()
	got := a.run(t.Context(), args...)
	require.Equal(t, 0, got.code, got.err)
	return got.out
}

// json is must with --json; it returns the one line.
func (a *app) json(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.must(t, append([]string{"--json"}, args...)...)), &v))
	return v
}

// state waits until the view has a state.
func (a *app) state(t *testing.T, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return a.json(t, "list")["state"] == want }, patience, 20*time.Millisecond)
}

// columns returns the cells of the line of a table that begins with a text.
func columns(t *testing.T, table, first string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if cells := strings.Fields(line); len(cells) > 0 && cells[0] == first {
			return cells
		}
	}
	require.Fail(t, "no line begins with "+first, table)
	return nil
}

func TestViewsAreListedAndShown(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 20)
	a.state(t, "live")
	out := a.must(t, "list")
	assert.Equal(t, "VIEW STATE VERSION POSITION LAG BEHIND EVENTS/S PARKED APPS NOTE", strings.Join(columns(t, out, "VIEW"), " "))
	cells := columns(t, out, "orders")
	assert.Equal(t, []string{"orders", "live", "1"}, cells[:3])
	assert.Equal(t, []string{"0", "1"}, cells[7:9], "parked, apps")

	v := a.json(t, "show", "orders")
	assert.EqualValues(t, 0, v["lag"])
	assert.EqualValues(t, 1, v["active"])
	assert.Len(t, v["partitions"], 4)
	out = a.must(t, "show", "orders")
	assert.Equal(t, []string{"state", "live"}, columns(t, out, "state"))
	assert.Equal(t, []string{"app/1", "live", "1", "4"}, columns(t, out, "app/1")[:4])
	assert.Contains(t, out, "1           1           4")
	assert.Equal(t, "app/1", columns(t, out, "3")[4])

	a.stop()
	a.state(t, "not followed")
	assert.Equal(t, "-", columns(t, a.must(t, "list"), "orders")[5], "nobody can tell the lag")
}

func TestAViewIsRebuiltByTheApplication(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 50)
	assert.Regexp(t, `^orders: version 2 is read now, built from 100 events in .*; version 1 is kept, foldstream projections rollback orders goes back to it\n$`, a.must(t, "rebuild", "orders"))
	got := a.json(t, "rebuild", "orders")
	assert.EqualValues(t, 3, got["new_version"])
	assert.EqualValues(t, 2, got["old_version"])
	assert.EqualValues(t, 100, got["events"])
	assert.Equal(t, "orders: version 2 is read now\n", a.must(t, "rollback", "orders"))
	a.fill(t, 1)

	refused := a.run(t.Context(), "drop-version", "orders", "2", "--yes")
	assert.Equal(t, 1, refused.code)
	assert.Contains(t, refused.err, "rebuild or roll back first")
	assert.Equal(t, "version 3 of orders is dropped\n", a.must(t, "drop-version", "orders", "3", "--yes"))
	oneLine(t, 1, `no such view version: 3 of view "orders"; there are [2]`, a.run(t.Context(), "drop-version", "orders", "3", "--yes"))
	oneLine(t, 1, `no such view version: view "orders" has no built version before 2 to go back to`, a.run(t.Context(), "rollback", "orders"))
}

func TestSomeKeysAreRebuilt(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 8)
	for p := range 4 { // somebody has written where he should not
		hash := fmt.Sprintf("%s{orders:p%02d}:v1:d:orders", prefix, p)
		keys, err := a.rdb.HKeys(t.Context(), hash).Result()
		require.NoError(t, err)
		for _, key := range keys {
			require.NoError(t, a.rdb.HDel(t.Context(), hash, key).Err())
		}
	}
	_, err := a.summaries.Get(t.Context(), "3")
	require.ErrorIs(t, err, projection.ErrNotFound)
	assert.Equal(t, "2 keys of orders are rebuilt\n", a.must(t, "rebuild", "orders", "--key", "3", "--key", "4"))
	assert.Equal(t, "what stream order-5 changes in orders is rebuilt\n", a.must(t, "rebuild", "orders", "--stream", "order-5"))
	for i, key := range []string{"3", "4", "5"} {
		got, err := a.summaries.Get(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, summary{int64(3 + i), 1}, got)
	}
}

func TestAViewIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 5)
	a.state(t, "live")
	assert.Equal(t, "orders is paused\n", a.must(t, "pause", "orders"))
	a.append(t, "order-9", placed{9})
	a.state(t, "paused")
	require.Eventually(t, func() bool { return a.json(t, "list")["lag"] == 1.0 }, patience, 20*time.Millisecond)
	assert.Contains(t, a.must(t, "show", "orders"), "paused since 20")
	assert.Equal(t, "orders is resumed\n", a.must(t, "resume", "orders"))
	a.level(t)
	a.state(t, "live")
}

func TestEventsAreSkipped(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 5)
	a.state(t, "live")
	a.must(t, "pause", "orders")
	a.append(t, "order-9", placed{9})
	oneLine(t, 1, `app/1 says: skip view "orders" to position 12: the event store ends at 11`, a.run(t.Context(), "skip", "orders", "12", "--yes"))
	assert.Equal(t, "orders goes on after position 11\n", a.must(t, "skip", "orders", "11", "-y"))
	a.must(t, "resume", "orders")
	a.append(t, "order-10", placed{10})
	a.level(t)
	_, err := a.summaries.Get(t.Context(), "9")
	require.ErrorIs(t, err, projection.ErrNotFound)
	_, err = a.summaries.Get(t.Context(), "10")
	require.NoError(t, err)
}

func TestParkedEventsAreShownRetriedAndDropped(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.broken.Store(true)
	a.fill(t, 3)
	out := a.must(t, "parked", "list")
	cells := columns(t, out, "orders")
	assert.Equal(t, "order-0", cells[1])
	assert.Equal(t, []string{"1", "2", "order.paid", "1"}, cells[3:7], "events, version, type, tries")
	assert.Contains(t, out, `card service\tsays no`, "nothing that a terminal would obey")
	assert.Contains(t, a.must(t, "list"), "foldstream projections parked list orders")
	out = a.must(t, "parked", "show", "orders", "order-1")
	assert.Equal(t, "order-1", columns(t, out, "stream")[1])
	assert.Equal(t, []string{"2", "4", "order.paid"}, columns(t, out, "2"))

	failed := a.run(t.Context(), "parked", "retry", "orders", "order-1")
	assert.Equal(t, 1, failed.code)
	assert.Contains(t, failed.err, "event 2 still fails: card service")
	assert.EqualValues(t, 2, a.json(t, "parked", "show", "orders", "order-1")["attempts"])
	a.append(t, "order-2", paid{7})
	a.level(t)
	failed = a.run(t.Context(), "parked", "drop", "orders", "order-2", "--yes")
	assert.Equal(t, 1, failed.code)
	assert.Contains(t, failed.err, "the first event is dropped; ")
	assert.Contains(t, failed.err, "event 3 still fails")
	assert.Contains(t, a.must(t, "parked", "drop", "orders", "order-2", "--yes"), "the first parked event of stream order-2 is dropped")
	oneLine(t, 1, `no parked events: stream "order-2" in view "orders"`, a.run(t.Context(), "parked", "drop", "orders", "order-2", "--yes"))
	oneLine(t, 1, `no parked events: stream "order-2" in view "orders"`, a.run(t.Context(), "parked", "show", "orders", "order-2"))

	a.broken.Store(false)
	assert.Equal(t, "orders: stream order-0 is applied\norders: stream order-1 is applied\n", a.must(t, "parked", "retry", "orders", "--all"))
	got := a.run(t.Context(), "parked", "list", "orders")
	assert.Equal(t, result{0, "", "nothing is parked\n"}, got)
	doc, err := a.summaries.Get(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, summary{1, 1}, doc)
}

// A rebuild that does not end is cancelled by the signal that ends whoever
// asked for it.
func TestCtrlCCancelsARebuild(t *testing.T) {
	t.Parallel()
	a := newSlowApp(t)

	p := start(t, a.command("rebuild", "orders")...)
	a.rebuilds(t, true)
	p.signal(t, os.Interrupt)
	assert.Equal(t, 1, p.end(t))
	assert.Equal(t, "foldstream: interrupted: the rebuild is cancelled; the next one goes on from there\n", p.notes.String())
	close(a.slow) // the fold that is under way has to return
	a.rebuilds(t, false)
	assert.EqualValues(t, 1, a.json(t, "show", "orders")["active"])
	assert.EqualValues(t, 2, a.json(t, "rebuild", "orders")["new_version"])
}

// rebuilds waits until the application is at a rebuild, or is not.
func (a *app) rebuilds(t *testing.T, want bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		statuses, err := a.runner.Status(t.Context())
		return err == nil && (statuses[0].Rebuild != nil) == want
	}, patience, 10*time.Millisecond)
}

func TestARebuildInTheBackgroundIsSeenAndCancelled(t *testing.T) {
	t.Parallel()
	a := newSlowApp(t)
	assert.Equal(t, "version 2 of orders is being filled; foldstream projections show orders tells how far it is\n", a.must(t, "rebuild", "orders", "--detach"))
	a.rebuilds(t, true)
	require.Eventually(t, func() bool { return strings.Contains(a.must(t, "list"), "version 2 is filled: 0%, ? to go") }, patience, 20*time.Millisecond)
	oneLine(t, 1, `app/1 says: rebuild of view "orders": already running`, a.run(t.Context(), "rebuild", "orders"))
	got := a.run(t.Context(), "rebuild", "orders", "--cancel")
	assert.Equal(t, result{0, "the rebuild of orders is cancelled; the next one goes on from there\n", ""}, got)
	close(a.slow)
	a.rebuilds(t, false)
}

func TestTheBarOfARebuild(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	bar := cli.NewRebuildBar(&b, true)
	bar.At(projection.Progress{View: "orders", Version: 3, Position: 250, Head: 1000, Rate: 1234.4, ETA: 90 * time.Second})
	assert.Contains(t, b.String(), "orders, version 3: 1234 events/s, 1m30s to go")
	assert.Contains(t, b.String(), "25%")
	bar.Done()
	b.Reset()
	bar = cli.NewRebuildBar(&b, false)
	bar.At(projection.Progress{View: "orders", Head: 1000})
	bar.Done()
	assert.Empty(t, b.String(), "a file gets no bar")
}
