package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/benchmarks/race"
)

func TestCommandsMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), []string{"commands", "-quick", "-raw", "-dir", dir}, &out, io.Discard))
	for _, rows := range [][]race.Row{race.Rows(race.Peers{}, race.Sizes{Orders: 16, Each: 1, Long: 1}), race.MoreRows(race.Sizes{Orders: 64, Long: 1})} {
		for _, r := range rows {
			assert.Contains(t, out.String(), "## "+r.Name+"\n")
		}
	}
	assert.Contains(t, out.String(), "raw [")
	assert.Equal(t, 7, strings.Count(out.String(), "passed\n")+strings.Count(out.String(), "MISSED\n"), "the bars that need no peer")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files remain")
}

func TestCommandsInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	heard := writerFunc(func(p []byte) (int, error) {
		cancel() // after the first repetition
		return len(p), nil
	})
	require.ErrorIs(t, run(ctx, []string{"commands", "-quick", "-dir", dir}, io.Discard, heard), context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files remain")
}
