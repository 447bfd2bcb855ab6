package cli_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// Opening 300 thousand events leaves some 55 MB when nothing is done about it,
// and 11 MB as it is.
func TestALargeStoreTakesLittleMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	dir := t.TempDir()
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	require.NoError(t, err)
	events := make([]eventstore.Event, 1000)
	for i := range events {
		events[i].Type = "x"
	}
	for i := range 300 {
		_, err := store.Append(t.Context(), fmt.Sprint("many-", i), eventstore.Any, events...)
		require.NoError(t, err)
	}
	require.NoError(t, store.Close())
	s := serve(t, "--data", dir)
	assert.Less(t, anonymous(t, s.cmd.Process.Pid), 30<<10, "KiB")
}

// anonymous returns the KiB of a process that are not the page cache's.
func anonymous(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var kib int
		if _, err := fmt.Sscanf(line, "Anonymous: %d kB", &kib); err == nil {
			return kib
		}
	}
	require.Fail(t, "it says nothing of anonymous memory", string(text))
	return 0
}
