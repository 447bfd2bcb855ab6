package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/benchmarks/race"
)

func storeArgs(dir string) []string {
	return []string{
		"store", "-events", "3000", "-streams", "100", "-grow", "6000", "-reps", "1", "-time", "20ms", "-samples", "20", "-dir", dir, "-json",
	}
}

func TestStoreMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), storeArgs(dir), &out, io.Discard))
	rows := map[string]storeRow{}
	for dec := json.NewDecoder(&out); ; {
		var r storeRow
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		rows[r.Row] = r
	}
	for _, limit := range []string{limitSync, limitSparse, limitWrite, limitScan, limitLooks} {
		assert.Positive(t, rows[limit].Value, limit)
	}
	for _, b := range storeBars {
		r, ok := rows[b.row]
		require.True(t, ok, b.row)
		assert.NotEmpty(t, r.All, b.row)
		assert.Equal(t, b.bar > 0, r.Passed != nil, b.row)
		if b.bar > 0 || b.of != "" {
			assert.NotZero(t, r.Ratio, b.row)
		}
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files remain")
}

func TestStoreInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	heard := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("1/1 ")) {
			cancel() // in the midst of it
		}
		return len(p), nil
	})
	require.ErrorIs(t, run(ctx, storeArgs(dir), io.Discard, heard), context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files remain")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestStoreBarsAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bar    storeBar
		all    []float64
		limit  []float64
		ratio  float64
		passed bool
	}{
		{storeBar{of: "limit", bar: 0.85}, []float64{80, 90, 10}, []float64{100, 100, 10}, 0.9, true},
		{storeBar{of: "limit", bar: 0.95}, []float64{80, 90, 10}, []float64{100, 100, 10}, 0.9, false},
		{storeBar{of: "limit", bar: 45, most: 10}, []float64{500}, []float64{20}, 25, true},
		{storeBar{of: "limit", bar: 45, most: 10}, []float64{400}, []float64{20}, 20, false},
		{storeBar{of: "limit", bar: 10, below: true, own: true}, []float64{9}, []float64{6}, 1.5, true},
		{storeBar{of: "limit", bar: 10, below: true, own: true}, []float64{11}, []float64{6}, 11.0 / 6, false},
		{storeBar{bar: 10, below: true}, []float64{9, 10, 20}, nil, 1, true},
		{storeBar{bar: 10, below: true}, []float64{9, 11, 20}, nil, 1.1, false},
	} {
		r := storeRow{All: c.all, Value: race.Median(c.all)}
		r.judge(c.bar, c.limit)
		assert.InDelta(t, c.ratio, r.Ratio, 1e-9, c)
		assert.Equal(t, c.passed, *r.Passed, c)
	}
}

// The rows about streams rely on it.
func TestStorePlanScattersShortStreams(t *testing.T) {
	t.Parallel()
	p := storeConfig{events: 5000, streams: 100}.plan()
	require.Positive(t, p.short)
	events := map[uint32]int{}
	for g := range 2 {
		for _, s := range p.generation(g) {
			events[s]++
		}
	}
	for g := range 2 {
		for i := range p.short {
			assert.Equal(t, shortStream, events[uint32(p.first(g)+i)])
		}
	}
	assert.Len(t, events, p.first(0)+2*p.short, "long streams go on, short ones do not")
}
