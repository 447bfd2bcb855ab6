package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
)

// startESDB serves a store as EventStoreDB does and returns its connection
// string.
func startESDB(t *testing.T, store eventstore.Store) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- esdbserver.New(store, nil).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return "esdb://" + l.Addr().String() + "?tls=false"
}

func runOnESDB(ctx context.Context, in io.Reader, esdbURL, redisURL string, argv ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(ctx, argv, streams{in: in, out: &stdout, err: &stderr, redisURL: redisURL, esdbURL: esdbURL})
	return code, stdout.String(), stderr.String()
}

// The whole demonstration, over a socket and the official client.
func TestDemoOnEventStoreDB(t *testing.T) {
	t.Parallel()
	url := startESDB(t, memstore.New(nil))
	code, out, errs := runOnESDB(t.Context(), nil, url, "", "-json")
	require.Equal(t, 0, code, errs)
	var r demoReport
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	require.Greater(t, r.Commands, int64(3000))
	require.Greater(t, r.Events, uint64(2000))
	require.Equal(t, r.Events, r.Rebuild.Events, "system events do not count")
	require.True(t, r.Rebuild.Equal)
	require.Zero(t, r.Mismatches)
	code, out, errs = runOnESDB(t.Context(), nil, url, "", "status") // what came before is still there
	require.Equal(t, 0, code, errs)
	require.Equal(t, 3, strings.Count(out, " live "), out)
}

// Two shops at once share the events, and the views in one Redis.
func TestTwoShopsShareAnEventStoreDB(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	url, redisURL := startESDB(t, store), urlOf(redistest.Start(t))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			code, _, errs := runOnESDB(t.Context(), strings.NewReader(goldenFile), url, redisURL, "import", "-")
			assert.Equal(t, 0, code, errs)
		})
	}
	both.Wait()
	code, out, errs := runOnESDB(t.Context(), nil, url, redisURL, "rebuild", "-json")
	require.Equal(t, 0, code, errs)
	var reports struct{ Views []rebuildReport }
	require.NoError(t, json.Unmarshal([]byte(out), &reports), out)
	require.Len(t, reports.Views, 3)
	for _, r := range reports.Views {
		assert.True(t, r.Equal, r.View)
	}
}

func TestAnEventStoreDBThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	code, out, errs := runOnESDB(ctx, nil, "esdb://"+addr+"?tls=false", "")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, "cannot reach EventStoreDB (ESDB_URL)")

	code, _, errs = runOnESDB(t.Context(), nil, "http://"+addr, "")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "ESDB_URL: ")
	code, _, errs = runOnESDB(t.Context(), nil, "esdb://"+addr, "", "-data", t.TempDir())
	require.Equal(t, 1, code)
	require.Contains(t, errs, "leave one out")
}
