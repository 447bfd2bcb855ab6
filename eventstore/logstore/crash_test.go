package logstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// The environment variable that makes this test binary the child that writes
// until it is killed.
const crashDir = "LOGSTORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

var crashOptions = &logstore.Options{SegmentSize: small}

// writeUntilKilled appends groups of one to five events from several callers,
// and prints the id and the position of each acknowledged event.
func writeUntilKilled(dir string) {
	s, err := logstore.Open(dir, crashOptions)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	for w := range 8 {
		go func() {
			for n := 0; ; n = (n + 1) % 5 {
				es := events(n + 1)
				for i := range es {
					es[i].Metadata = eventstore.NewMetadata("group", fmt.Sprint(len(es)), "index", fmt.Sprint(i))
				}
				r, err := s.Append(context.Background(), fmt.Sprintf("w-%d", w), eventstore.Any, es...)
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
				}
				var line strings.Builder
				for i, e := range es {
					fmt.Fprintf(&line, "%s %d\n", e.ID, int(r.Position)-len(es)+1+i)
				}
				fmt.Print(line.String())
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	acked := make(map[string]string) // id to position
	for range rounds {
		before := len(acked)
		runAndKill(t, dir, acked)
		require.Greater(t, len(acked), before, "the child must get something done")
		checkAfterCrash(t, dir, acked)
	}
	t.Logf("%d rounds, %d acknowledged events", rounds, len(acked))
}

// runAndKill runs the child, kills it at a random moment after its first
// acknowledgement, and adds to acked what it acknowledged.
func runAndKill(t *testing.T, dir string, acked map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(pipe)
	var kill *time.Timer
	for lines.Scan() {
		if kill == nil {
			kill = time.AfterFunc(time.Duration(rand.Int64N(int64(150*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		}
		id, pos, ok := strings.Cut(lines.Text(), " ")
		require.NotEqual(t, "error", id, lines.Text())
		if ok && len(id) == 36 && pos != "" {
			acked[id] = pos
		}
	}
	require.Error(t, cmd.Wait(), "killed")
	require.NotNil(t, kill)
}

func checkAfterCrash(t *testing.T, dir string, acked map[string]string) {
	t.Helper()
	s, err := logstore.Open(dir, crashOptions)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	found, inGroup := 0, 0
	versions := make(map[string]eventstore.Version)
	for i, r := range readAll(t, s) {
		require.EqualValues(t, i+1, r.Position, "no gap")
		versions[r.Stream]++
		require.Equal(t, versions[r.Stream], r.Version)
		if pos, ok := acked[r.ID.String()]; ok {
			// The last line of a killed child may lack digits.
			require.True(t, strings.HasPrefix(fmt.Sprint(i+1), pos))
			found++
		}
		require.Equal(t, fmt.Sprint(inGroup), r.Metadata.Get("index"), "groups are whole")
		if inGroup++; fmt.Sprint(inGroup) == r.Metadata.Get("group") {
			inGroup = 0
		}
	}
	require.Zero(t, inGroup, "groups are whole")
	assert.Equal(t, len(acked), found, "no acknowledged event is lost")
}
