package aggregate_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// The environment variables that make this test binary the child that sends
// commands until it is killed, and the number of the first.
const (
	crashDir   = "AGGREGATE_CRASH_DIR"
	crashFirst = "AGGREGATE_CRASH_FIRST"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := sendUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const senders = 16

// numbered is command number n: of three accounts, which makes them busy.
func numbered(ctx context.Context, bus *command.Bus, n int) (eventstore.Receipt, error) {
	return command.Send(ctx, bus, deposit{strconv.Itoa(n % 3), int64(n)}, command.WithID(fmt.Sprint("command ", n)))
}

type ack struct {
	N       int
	Receipt eventstore.Receipt
}

func sendUntilKilled(dir string) error {
	first, err := strconv.Atoi(os.Getenv(crashFirst))
	if err != nil {
		return err
	}
	store, err := logstore.Open(dir, nil)
	if err != nil {
		return err
	}
	bus, _ := newBus(store, nil)
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	for i := range senders {
		go func() {
			for n := first + i; ; n += senders {
				r, err := numbered(context.Background(), bus, n)
				if err != nil {
					return
				}
				mu.Lock()
				_ = out.Encode(ack{n, r})
				mu.Unlock()
			}
		}()
	}
	_, err = io.Copy(io.Discard, os.Stdin) // until the parent goes
	return err
}

func TestCommandsThatAreSentAgainAfterAKillHappenOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := map[int]eventstore.Receipt{}
	last := -1 // the highest number that may have been carried out
	for range 5 {
		// Some that were answered are sent again, and all that were not.
		runAndKill(t, dir, max(0, last-3*senders), acked)
		for n := range acked {
			last = max(last, n)
		}
	}
	store, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	defer store.Close() //nolint:errcheck // it was only read
	bus, accounts := newBus(store, nil)
	last += senders // what was carried out and not answered
	sums := [3]int64{}
	for n := range last + 1 {
		r, err := numbered(t.Context(), bus, n)
		require.NoError(t, err)
		if want, ok := acked[n]; ok {
			want.Repeated = true
			require.Equal(t, want, r, "command %d", n)
		}
		sums[n%3] += int64(n)
	}
	for i, sum := range sums {
		l, err := accounts.Load(t.Context(), strconv.Itoa(i))
		require.NoError(t, err)
		assert.Equal(t, sum, l.State.balance, "every command once")
	}
	assert.NotEmpty(t, acked)
}

// runAndKill lets a child send commands from a number on, and kills it at some
// moment. It adds what was answered to acked, and compares what had been.
func runAndKill(t *testing.T, dir string, first int, acked map[int]eventstore.Receipt) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashFirst+"="+strconv.Itoa(first))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close() //nolint:errcheck // the child is gone
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	left := 50 + rand.IntN(500)
	for lines := bufio.NewScanner(stdout); lines.Scan(); left-- {
		var a ack
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			break // cut by the kill
		}
		if before, ok := acked[a.N]; ok {
			before.Repeated, a.Receipt.Repeated = false, false
			assert.Equal(t, before, a.Receipt, "command %d", a.N)
		} else {
			a.Receipt.Repeated = false
			acked[a.N] = a.Receipt
		}
		if left == 0 {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "it did not end by itself")
}
