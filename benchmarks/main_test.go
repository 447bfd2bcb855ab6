package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redisproc"
)

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
	} {
		var out bytes.Buffer
		args = append(args, "-events", "20000", "-keys", "500", "-reps", "1", "-json")
		require.NoError(t, run(t.Context(), args, &out, io.Discard))
		var r result
		require.NoError(t, json.Unmarshal(out.Bytes(), &r))
		assert.Equal(t, args[0], r.Scenario)
		assert.Equal(t, 20_000, r.Events)
		assert.True(t, r.Exact)
		assert.InDelta(t, r.PerSecond/r.HSET, r.Ratio, 1e-9)
		assert.NotZero(t, r.Allocs)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"nonsense"}, {"projection", "rebuild"}, {"projection", "-events", "0"}, {"projection", "-zipf", "0.5"},
		{"projection", "-types", "odd"}, {"projection", "-nonsense"},
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
