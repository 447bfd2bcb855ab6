package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// The scenario wire starts servers as processes of its own program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"wire-server", "projector", "store-child"}, os.Args[1]) {
		if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestWireMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	args := []string{"wire", "-events", "500", "-appends", "20", "-runs", "1", "-big", "1000", "-data", t.TempDir(), "-json"}
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	rows := map[string]bool{}
	passable := 0
	for dec := json.NewDecoder(&out); ; {
		var r wireRow
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		rows[r.Name] = true
		assert.Positive(t, r.Value, r.Name)
		if r.Passed != nil {
			assert.Positive(t, r.Bar, r.Name)
			passable++
		}
	}
	assert.Equal(t, 12, passable, "every bar of the issue is judged")
	for _, name := range []string{
		"ReadAll, ceiling", "ReadAll, plain", "ReadAll, esdbserver over memory", "SubscribeToAll, catch-up, esdbserver over logstore",
		"append 1, sequential, esdbserver over memory", "raw 4 KiB write and sync", "append 1, 64 callers, logstore, durable",
		"BatchAppend, 256 in flight, memory", "esdbstore, ReadAll", "esdbstore, append 1, 64 callers",
		"server memory, 1000 events, 100 idle subscriptions",
	} {
		assert.True(t, rows[name], name)
	}
}

func TestWireTakesNoPartForTheWhole(t *testing.T) {
	t.Parallel()
	part := func(context.Context) (int, error) { return 9, nil }
	_, err := complete(10, part)(t.Context())
	require.ErrorContains(t, err, "9 events came, there are 10")
	n, err := complete(9, part)(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 9, n)
}

func TestScenariosMeasureAndCheck(t *testing.T) {
	for _, program := range []string{"redis-server", "redis-benchmark"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(redisproc.ErrNotInstalled)
			}
			t.Skip(redisproc.ErrNotInstalled)
		}
	}
	for _, args := range [][]string{
		{"projection", "-types", "plain", "-zipf", "1.1"},
		{"rebuild"},
		{"catch-up"},
		{"four"},
	} {
		r := measured(t, args...)
		assert.Equal(t, args[0], r.Scenario)
		assert.Equal(t, 20_000, r.Events)
		assert.True(t, r.Exact)
		assert.InDelta(t, r.PerSecond/r.HSET, r.Ratio, 1e-9)
		assert.NotZero(t, r.Allocs)
	}
	r := measured(t, "latency", "-samples", "30")
	assert.Equal(t, 30, r.Samples)
	assert.Positive(t, r.P50)
	assert.LessOrEqual(t, r.P50, r.P99)
	r = measured(t, "memory")
	require.Len(t, r.Memory, len(memoryCaches))
	for _, m := range r.Memory {
		assert.Greater(t, m.PeakMiB, 1.0)
	}
}

func measured(t *testing.T, args ...string) (r result) {
	t.Helper()
	var out bytes.Buffer
	args = append(args, "-events", "20000", "-keys", "500", "-reps", "1", "-json")
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	return r
}

func TestEveryBarIsJudged(t *testing.T) {
	t.Parallel()
	require.Len(t, rows, 5)
	good, bad := &result{Ratio: 2, P50: 1.5, P99: 10}, &result{Ratio: 0.99, P50: 1.5, P99: 10.1}
	for _, r := range rows {
		assert.True(t, r.passed(good), r.name)
		assert.False(t, r.passed(bad), r.name)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"nonsense"}, {"projection", "rebuild"}, {"projection", "-events", "0"}, {"projection", "-zipf", "0.5"},
		{"projection", "-types", "odd"}, {"projection", "-nonsense"},
		{"projection", "-only", "nonsense"}, {"rebuild", "-only", "zipf"}, {"latency", "-samples", "0"},
		{"wire", "-runs", "0"}, {"wire", "more"}, {"wire", "-nonsense"}, {"wire", "-only", "nonsense"},
		{"store", "-reps", "0"}, {"store", "more"}, {"store", "-events", "10"}, {"store", "-only", "nonsense"},
		{"commands", "-reps", "0"}, {"commands", "more"}, {"commands", "-only", "nonsense"},
		{"store", "-grow", "1"}, {"store", "-log", "there", "-grow", "10000000"},
	} {
		require.ErrorIs(t, run(context.Background(), args, io.Discard, io.Discard), errUsage, args)
	}
}

// The generated methods must read what the plain type wrote.
func TestBothKindsOfTypesReadTheSameLog(t *testing.T) {
	t.Parallel()
	e, err := seedEvents.Encode(lineAdded{"ada", "tea", "Tea", 3, 450, "note"})
	require.NoError(t, err)
	var fast fastLineAdded
	rest, err := fast.UnmarshalMsg(e.Data)
	require.NoError(t, err)
	assert.Empty(t, rest)
	assert.Equal(t, fastLineAdded{"ada", "tea", "Tea", 3, 450, "note"}, fast)
}
