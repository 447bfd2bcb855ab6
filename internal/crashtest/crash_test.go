package crashtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

const (
	orders  = 300
	skus    = 40
	perKill = 900 // events that must be new in Redis before the next kill
)

// sold is the only event: one more line of an order.
type sold struct {
	SKU      string
	Quantity int64
}

// order is neither idempotent nor commutative: a lost, doubled or overtaken
// event shows.
type order struct {
	Lines    int64
	Quantity int64
	Chain    uint64
}

var events = codec.New(codec.Type[sold]("order.sold"))

func (o order) sold(e sold, m projection.Meta) (order, error) {
	o.Lines++
	o.Quantity += e.Quantity
	o.Chain = o.Chain*1099511628211 + uint64(m.Version) + uint64(e.Quantity)
	return o, nil
}

// views is all kinds of views in one.
type views struct {
	orders *projection.Collection[order]
	sales  *projection.Counters
	last   *projection.Index
	p      *projection.Projection
}

func newViews(rdb *redis.Client) *views {
	in := &redisview.CollectionOptions{View: "crash"}
	v := &views{
		orders: redisview.NewCollection[order](rdb, "orders", in),
		sales:  redisview.NewCounters(rdb, "sales", in),
		last:   redisview.NewIndex(rdb, "last", in),
	}
	v.p = projection.New("crash", events,
		projection.On(v.orders, order.sold),
		projection.OnCount(v.sales, func(e sold, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: e.SKU, By: e.Quantity}}
		}),
		projection.OnIndex(v.last, func(e sold, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.SKU, Member: m.ID, Score: float64(m.Position)}}
		}))
	return v
}

// seed appends the nth events of a sequence that is always the same.
func seed(t testing.TB, store eventstore.Store, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := 0; i < n; i += 10 {
		batch := make([]eventstore.Event, 10)
		for j := range batch {
			e, err := events.Encode(sold{SKU: "sku-" + strconv.Itoa(rnd.IntN(skus)), Quantity: 1 + rnd.Int64N(5)})
			require.NoError(t, err)
			batch[j] = e
		}
		_, err := store.Append(context.Background(), "order-"+strconv.Itoa(rnd.IntN(orders)), eventstore.Any, batch...)
		require.NoError(t, err)
	}
}

// check folds the store in memory and compares everything in Redis with it.
func (v *views) check(t *testing.T, store eventstore.Store) {
	t.Helper()
	wantOrders, wantSales, wantLast := map[string]order{}, map[string]int64{}, map[string]map[string]float64{}
	for rec, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		decoded, err := events.Decode(rec)
		require.NoError(t, err)
		e := decoded.(sold)
		_, id := eventstore.SplitStream(rec.Stream)
		wantOrders[id], _ = wantOrders[id].sold(e, projection.Meta{Version: rec.Version})
		wantSales[e.SKU] += e.Quantity
		if wantLast[e.SKU] == nil {
			wantLast[e.SKU] = map[string]float64{}
		}
		wantLast[e.SKU][id] = float64(rec.Position)
	}
	for id, want := range wantOrders {
		got, err := v.orders.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, got, "order %s", id)
	}
	for sku, want := range wantSales {
		got, err := v.sales.Get(t.Context(), sku)
		require.NoError(t, err)
		require.Equal(t, want, got, "sales of %s", sku)
		members, err := v.last.Range(t.Context(), sku, projection.Range{})
		require.NoError(t, err)
		last := map[string]float64{}
		for _, m := range members {
			last[m.Member] = m.Score
		}
		require.Equal(t, wantLast[sku], last, "orders of %s", sku)
	}
}

const (
	childEnv = "FOLDSTREAM_CRASH_CHILD" // the kind of child
	redisEnv = "FOLDSTREAM_CRASH_REDIS"
	dirEnv   = "FOLDSTREAM_CRASH_DIR"
	countEnv = "FOLDSTREAM_CRASH_EVENTS"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		redistest.Main(m)
		return
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child projects until it is told to stop.
func child() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var store eventstore.Store
	if dir := os.Getenv(dirEnv); dir != "" {
		log, err := logstore.Open(dir, nil)
		if err != nil {
			return err
		}
		store = log
	} else { // each process has the same events at the same positions
		n, err := strconv.Atoi(os.Getenv(countEnv))
		if err != nil {
			return err
		}
		store = memstore.New(nil)
		seed(new(testing.B), store, n)
	}
	defer func() { _ = store.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv(redisEnv)})
	defer func() { _ = rdb.Close() }()
	// small batches and a short lease make many moments to be killed at
	opts := &projection.Options{BatchEvents: 20, LeaseTTL: 300 * time.Millisecond}
	fmt.Println("running")
	return projection.NewRunner(store, opts, newViews(rdb).p).Run(ctx)
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
}

func spawn(t *testing.T, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "running\n", line)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return p
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// progress is how far all partitions are together; it may only grow.
func progress(t *testing.T, store *redisview.Store) (sum uint64) {
	t.Helper()
	checkpoints, err := store.Checkpoints(t.Context(), "crash", 1)
	if err != nil {
		return 0 // the first build has not begun
	}
	for _, ck := range checkpoints {
		sum += uint64(ck.Position)
	}
	return sum
}

// done reports whether everything is applied and the view can be read.
func done(t *testing.T, store *redisview.Store, total uint64) bool {
	t.Helper()
	_, err := store.Active(t.Context(), "crash")
	return err == nil && progress(t, store) == total*16
}

// waitFor polls a condition that another process makes true.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 60*time.Second, time.Millisecond, what)
}

func TestAProjectorKilledTwentyTimesEndsExactlyRight(t *testing.T) {
	const kills, total = 22, 30_000
	server := redistest.Start(t)
	rdb := server.Client(t)
	dir := t.TempDir()
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	require.NoError(t, err)
	seed(t, store, total)
	require.NoError(t, store.Close())

	env := []string{childEnv + "=projector", redisEnv + "=" + server.Addr(), dirEnv + "=" + dir}
	rv := redisview.New(rdb, nil)
	was := uint64(0)
	for range kills {
		p := spawn(t, env...)
		waitFor(t, "progress", func() bool { return progress(t, rv) >= was+perKill*16/2 })
		p.kill()
		now := progress(t, rv)
		require.GreaterOrEqual(t, now, was, "checkpoints must not go back")
		was = now
	}
	require.Less(t, was, uint64(total*16), "the kills must come while events are applied")
	t.Logf("%d kills, the last at %d of %d", kills, was/16, total)

	last := spawn(t, env...)
	waitFor(t, "the end", func() bool { return done(t, rv, total) })
	require.NoError(t, last.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, last.cmd.Wait())
	store, err = logstore.Open(dir, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, store.Close()) }()
	newViews(rdb).check(t, store)
}

func TestTwoProjectorsAtOnceEndExactlyRight(t *testing.T) {
	const total = 20_000
	server := redistest.Start(t)
	rdb := server.Client(t)
	env := []string{childEnv + "=projector", redisEnv + "=" + server.Addr(), countEnv + "=" + strconv.Itoa(total)}
	rv := redisview.New(rdb, nil)
	procs := []*process{spawn(t, env...), spawn(t, env...)}
	for i := range 6 { // the one that works may be the one that is killed
		target := uint64(i+1) * total * 16 / 8
		waitFor(t, "progress", func() bool { return progress(t, rv) >= target })
		procs[i%2].kill()
		procs[i%2] = spawn(t, env...)
	}
	waitFor(t, "the end", func() bool { return done(t, rv, total) })
	store := memstore.New(nil)
	seed(t, store, total)
	newViews(rdb).check(t, store)
}

// A process that was stopped and wakes up behind its successor must not write.
func TestAZombieThatWakesUpChangesNothing(t *testing.T) {
	const total = 20_000
	server := redistest.Start(t)
	rdb := server.Client(t)
	env := []string{childEnv + "=projector", redisEnv + "=" + server.Addr(), countEnv + "=" + strconv.Itoa(total)}
	rv := redisview.New(rdb, nil)
	zombie := spawn(t, env...)
	waitFor(t, "progress", func() bool { return progress(t, rv) > 0 })
	require.NoError(t, zombie.cmd.Process.Signal(syscall.SIGSTOP))
	spawn(t, env...)
	halfway := progress(t, rv) + 4000
	waitFor(t, "the successor", func() bool { return progress(t, rv) >= halfway })
	require.NoError(t, zombie.cmd.Process.Signal(syscall.SIGCONT))
	waitFor(t, "the end", func() bool { return done(t, rv, total) })
	store := memstore.New(nil)
	seed(t, store, total)
	newViews(rdb).check(t, store)
}
