package command_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// crashEnv makes this test binary a child that works on a queue until it is
// killed, or its standard input ends.
const crashEnv = "QUEUE_CRASH_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(crashEnv); text != "" {
		if err := crashChild(text); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A crashJob says what a child does.
type crashJob struct {
	Dir  string // of a logstore
	URL  string // or of an EventStoreDB
	From []int  // enqueue for each account the numbers from there on, and say so
}

// crashKeys is the number of accounts.
const crashKeys = 12

func crashChild(text string) error {
	var j crashJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	opts := &command.QueueOptions{Concurrency: 8, Backoff: time.Millisecond, MaxAttempts: 1000, MaxFaults: 1000, CheckpointEvery: 50}
	var store eventstore.Store
	var err error
	if j.Dir != "" {
		opts.Worker = "main"
		store, err = logstore.Open(j.Dir, nil)
	} else {
		opts.Lease = 300 * time.Millisecond
		store, err = esdbstore.Open(j.URL, nil)
	}
	if err != nil {
		return err
	}
	r := newRig(nil, store, opts)
	r.trouble = 10
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var wg sync.WaitGroup
	said := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	say := func(account, n int) {
		mu.Lock()
		defer mu.Unlock()
		_ = said.Encode([2]int{account, n})
	}
	say(-1, 0)
	for account, n := range j.From {
		wg.Go(func() {
			for ; ctx.Err() == nil; n++ {
				if _, err := crashEnqueue(ctx, r.queue, account, n); err != nil {
					return
				}
				say(account, n)
			}
		})
	}
	err = r.queue.Run(ctx)
	wg.Wait()
	return errors.Join(err, store.Close())
}

// crashEnqueue enqueues the nth command of an account. Some are refused.
func crashEnqueue(ctx context.Context, q *command.Queue, account, n int) (string, error) {
	cmd := put{strconv.Itoa(account), n}
	if n%10 == 9 {
		cmd.N = -n
	}
	return command.Enqueue(ctx, q, cmd, command.WithID(fmt.Sprintf("%d-%d", account, n)))
}

// A crasher is a child.
type crasher struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
}

func startCrasher(t *testing.T, j crashJob) *crasher {
	text, err := json.Marshal(j)
	require.NoError(t, err)
	c := &crasher{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), crashEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	c.out = bufio.NewScanner(out)
	return c
}

// end kills the child, or has it stop in order.
func (c *crasher) end(gently bool) {
	if gently {
		_ = c.in.Close()
	} else {
		_ = c.cmd.Process.Kill()
	}
}

// hear takes what the child says until it ends, and calls ready when it begins.
func (c *crasher) hear(ready func(), said func(account, n int)) {
	for c.out.Scan() {
		var line [2]int
		if json.Unmarshal(c.out.Bytes(), &line) != nil {
			continue // torn by the kill
		}
		if line[0] < 0 {
			ready()
		} else {
			said(line[0], line[1])
		}
	}
}

// checkCrashes looks at what all commands led to: numbers of each account in
// their order, each once.
func checkCrashes(t *testing.T, r *rig, counts []int) {
	t.Helper()
	attempts := 0
	for account, count := range counts {
		var want []int
		for n := range count {
			state := command.StateDone
			if n%10 == 9 {
				state = command.StateFailed
			} else {
				want = append(want, n)
			}
			s := r.get(fmt.Sprintf("%d-%d", account, n))
			require.Equal(t, state, s.State, "command %s: %s", s.ID, s.Reason)
			attempts = max(attempts, s.Attempts)
		}
		require.Equal(t, want, r.numbers(strconv.Itoa(account)))
	}
	t.Logf("commands of each account: %v; at most %d attempts", counts, attempts)
}

// A process that enqueues and works is killed again and again at any point. What
// was acknowledged is done, once and in order.
func TestAKilledProcessLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	counts := make([]int, crashKeys)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for round := range 6 {
		c := startCrasher(t, crashJob{Dir: dir, From: counts})
		gently := round%3 == 2
		c.hear(func() {
			time.AfterFunc(time.Duration(rnd.Int64N(int64(250*time.Millisecond))), func() { c.end(gently) })
		}, func(account, n int) { counts[account] = n + 1 })
		if err := c.cmd.Wait(); gently {
			require.NoError(t, err)
		}
	}
	store, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, store.Close()) }()
	r := newRig(t, store, &command.QueueOptions{Worker: "main"})
	stop := r.run()
	for account := range counts { // one may have been enqueued without an answer
		r.await(must(crashEnqueue(t.Context(), r.queue, account, counts[account])))
		counts[account]++
	}
	stop()
	checkCrashes(t, r, counts)
	require.Greater(t, counts[0], 1)
}

// Several processes work on one queue over EventStoreDB's protocol, and are
// killed and replaced.
func TestKilledWorkersLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	const workers, rounds, each = 3, 6, 18
	store := memstore.New(nil)
	url := serve(t, store)
	r := newRig(t, store, nil)
	var ids []string
	var children [workers]*crasher
	var wg sync.WaitGroup
	start := func() *crasher {
		c := startCrasher(t, crashJob{URL: url})
		ready := make(chan struct{})
		wg.Go(func() { c.hear(func() { close(ready) }, nil) })
		<-ready
		return c
	}
	for i := range children {
		children[i] = start()
	}
	for round := range rounds {
		for n := round * each / rounds; n < (round+1)*each/rounds; n++ {
			for account := range crashKeys {
				ids = append(ids, must(crashEnqueue(t.Context(), r.queue, account, n)))
			}
		}
		victim := rand.IntN(workers)
		r.await(ids[rand.IntN(crashKeys*2)+max(len(ids)-crashKeys*3, 0)])
		children[victim].end(round%4 == 3)
		_ = children[victim].cmd.Wait()
		children[victim] = start()
	}
	counts := make([]int, crashKeys)
	for account := range counts {
		counts[account] = each
		r.await(fmt.Sprintf("%d-%d", account, each-1))
	}
	for _, c := range children {
		c.end(true)
		assert.NoError(t, c.cmd.Wait())
	}
	wg.Wait()
	checkCrashes(t, r, counts)
}

// serve has a store served over EventStoreDB's protocol, and returns its
// connection string.
func serve(t *testing.T, store eventstore.Store) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = esdbserver.New(store, nil).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return "esdb://" + l.Addr().String() + "?tls=false"
}

func TestAQueueOnEventStoreDB(t *testing.T) {
	t.Parallel()
	store, err := esdbstore.Open(serve(t, memstore.New(nil)), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	r := newRig(t, store, &command.QueueOptions{CheckpointEvery: 10})
	stop := r.run()
	var last string
	for i := range 30 {
		last = r.enqueue(put{"a", i - 1}, command.WithID(fmt.Sprint("c", i)))
	}
	require.Equal(t, command.StateDone, r.await(last).State)
	assert.Equal(t, command.StateFailed, r.await("c0").State)
	assert.Len(t, r.numbers("a"), 29)
	r.enqueue(put{"a", 99}, command.WithID("c5"))
	require.NoError(t, r.queue.Retry(t.Context(), "c0"))
	require.Equal(t, command.StateFailed, r.await("c0").State)
	assert.Len(t, r.ids(command.ListFilter{}), 30)
	stop()

	next := newRig(t, store, &command.QueueOptions{Retention: time.Millisecond})
	next.run()
	require.Eventually(t, func() bool { return len(next.ids(command.ListFilter{})) == 0 }, 20*time.Second, 50*time.Millisecond)
	next.enqueue(put{"a", 99}, command.WithID("c5"))
	assert.Len(t, next.numbers("a"), 29)
	s := must(next.queue.Stats(t.Context()))
	assert.Zero(t, s.Pending+s.Running+s.Retrying)
}
