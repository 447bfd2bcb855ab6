package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestServeInMemoryFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, "--memory")
	assert.Equal(t, "esdb://"+s.addr+"?tls=false", s.url)
	assert.Equal(t, "events are  in memory: gone at exit", s.line(t))

	code, _ := get(t, http.DefaultClient, "http://"+s.addr+"/health/live")
	assert.Equal(t, http.StatusNoContent, code)
	code, body := get(t, http.DefaultClient, "http://"+s.addr+"/ping")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, "Ping")

	assert.Empty(t, must(t, s.url, "list"))
	assert.Contains(t, must(t, s.url, "append", "order-1", "-t", "order.placed", "-d", `{"n":1}`, "--expected", "none", "--metadata", `{"actor":"ada"}`), `"version":1`)
	assert.Contains(t, must(t, s.url, "append", "order-1", "-t", "order.paid", "--expected", "1"), `"version":2`)
	refused := run(t, s.url, "", "append", "order-1", "-t", "x", "--expected", "1")
	assert.Equal(t, `foldstream: stream "order-1" is at version 2, expected version 1; read what is new in it, then give --expected 2`+"\n", refused.err)
	copied := run(t, s.url, must(t, s.url, "read", "order-1"), "append", "copy-1", "--lines", "--expected", "none")
	assert.Zero(t, copied.code, copied.err)
	assert.Regexp(t, `"stream":"copy-1","version":1,"position":\d+,"type":"order.placed",.*"data":\{"n":1\},"metadata":\{"actor":"ada"\}\}`, must(t, s.url, "read", "copy-1"))
	assert.Equal(t, 3, strings.Count(must(t, s.url, "read", "$all", "--category", "order", "--category", "copy", "-n", "3"), "\n"))
	assert.Regexp(t, `(?s)^STREAM .*copy-1 +2 +2 .*order-1 +2 +2 `, must(t, s.url, "list", "-o", "table"))
	must(t, s.url, "delete", "copy-1")
	assert.Equal(t, `foldstream: stream "copy-1" not found at `+s.url+"; foldstream streams list shows what is there\n", run(t, s.url, "", "read", "copy-1").err)
	assert.Contains(t, must(t, s.url, "list", "--deleted"), `"state":"deleted"`)
	must(t, s.url, "delete", "copy-1", "--hard", "--yes")
	assert.Contains(t, run(t, s.url, "", "append", "copy-1", "-t", "x").err, "was deleted for ever")
	assert.Contains(t, must(t, s.url, "list", "--deleted"), `"state":"tombstoned"`)
	large := run(t, s.url, strings.Repeat("y", 1<<20), "append", "large-1", "-t", "x", "-d", "-", "--content-type", "text/plain")
	assert.Contains(t, large.err, "is over the limit of 1048576 bytes")

	s.signal(t, syscall.SIGTERM)
	assert.Zero(t, s.end(t), s.notes)
	assert.Empty(t, s.all(t))
	away := run(t, s.url, "", "--timeout", "0s", "read", "order-1")
	assert.Equal(t, 1, away.code)
	assert.Regexp(t, `^foldstream: esdb://127.0.0.1:\d+\?tls=false does not answer: .*connection refused; is it running`, away.err)
	assert.Equal(t, away, run(t, s.url, "", "--timeout", "0s", "tail", "--from", "start"))
	assert.Equal(t, away, run(t, s.url, "", "--timeout", "0s", "tail", "order-1", "--from", "1"))
}

func TestServeScavengesWhileItServes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := logstore.Open(dir, &logstore.Options{SegmentSize: 16 << 10, Sync: logstore.SyncNever})
	require.NoError(t, err)
	for range 200 {
		_, err := store.Append(t.Context(), "order-1", eventstore.Any, eventstore.Event{Type: "t", Data: make([]byte, 200)})
		require.NoError(t, err)
	}
	_, err = store.Delete(t.Context(), "order-1", eventstore.Any)
	require.NoError(t, err)
	require.NoError(t, store.Close())
	s := serve(t, "--data", dir, "--scavenge-every", "50ms")
	must(t, s.url, "append", "order-2", "-t", "t")
	require.Eventually(t, func() bool {
		report, err := logstore.Verify(t.Context(), dir, nil)
		return err == nil && report.Removed > 100
	}, 30*time.Second, 20*time.Millisecond)
	assert.Contains(t, must(t, s.url, "read", "order-2"), `"version":1`)
	s.signal(t, syscall.SIGTERM)
	assert.Zero(t, s.end(t), s.notes)
}

func TestServeTakesLargerAppends(t *testing.T) {
	t.Parallel()
	s := serve(t, "--max-append-size", "3MiB")
	data := strings.Repeat("y", 3<<20-100)
	got := run(t, s.url, data, "append", "large-1", "-t", "x", "-d", "-", "--content-type", "text/plain")
	assert.Zero(t, got.code, got.err)
	got = run(t, s.url, data+data, "append", "large-1", "-t", "x", "-d", "-", "--content-type", "text/plain")
	assert.Contains(t, got.err, "is over the limit of 3145728 bytes")
	// Metadata counts as it was given, however the store keeps it.
	got = run(t, s.url, "", "append", "large-1", "-t", "x", "--metadata", `{"n":1,"k":"`+strings.Repeat("y", 3<<20-200)+`"}`)
	assert.Zero(t, got.code, got.err)
}

func TestAReaderThatGoesEndsReadQuietly(t *testing.T) {
	t.Parallel()
	s := serve(t)
	in := strings.Repeat(`{"type":"x","data":{"text":"`+strings.Repeat("y", 200)+`"}}`+"\n", 2000) // more than a pipe holds
	require.Zero(t, run(t, s.url, in, "append", "many-1", "--lines").code)
	for _, args := range []string{"read many-1", "read many-1 -o table", "read '$all' -o json", "tail many-1 --from start"} {
		cmd := exec.Command("bash", "-c", "set -o pipefail; "+build(t)+" streams "+args+" | head -n 1")
		cmd.Env = append(os.Environ(), "FOLDSTREAM_URL="+s.url)
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, args)
		assert.Equal(t, 1, strings.Count(string(out), "\n"), "%s: %s", args, out)
	}
}

func TestServeSaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, "--data", dir)
	assert.Equal(t, "events are  "+dir, s.line(t))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "127.0.0.1:0", "--data", dir}, "data directory " + dir + " is in use by another process; stop that one, or choose another directory with --data"},
		{[]string{"--listen", s.addr}, "another process listens on " + s.addr + " already, perhaps another foldstream serve; choose another address with --listen"},
		{[]string{"--listen", "127.0.0.1:0", "--data", "testdata/../../cli"}, "and no segment of a log; choose a directory that is empty or does not exist"},
		{[]string{"--listen", "127.0.0.1:0", "--tls-cert", "serve_test.go", "--tls-key", "serve_test.go"}, "serve_test.go: failed to find any PEM data in certificate input; both must be in PEM and belong together"},
	} {
		p := start(t, append([]string{"serve"}, c.args...)...)
		assert.Equal(t, 1, p.end(t), c.args)
		assert.Contains(t, p.notes.String(), c.want)
		assert.Equal(t, 1, strings.Count(p.notes.String(), "\n"), p.notes)
	}
}

// An empty variable is none.
func TestTheConnectionComesFromTheEnvironment(t *testing.T) {
	t.Parallel()
	s := serve(t)
	must(t, s.url, "append", "a-1", "-t", "x")
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{[]string{"FOLDSTREAM_URL=" + s.url, "ESDB_URL=nonsense"}, nil},
		{[]string{"FOLDSTREAM_URL=", "ESDB_URL=" + s.url}, nil},
		{[]string{"FOLDSTREAM_URL=nonsense"}, []string{"-c", s.url}},
	} {
		cmd := exec.Command(build(t), append([]string{"streams", "read", "a-1"}, c.args...)...)
		cmd.Env = append(os.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", c.env, out)
		assert.Contains(t, string(out), `"stream":"a-1"`)
	}
}

// Everything that was acknowledged before, while and after the server was told
// to stop, or was killed, is there afterwards, once.
func TestStoppingUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for sig, code := range map[os.Signal]int{syscall.SIGTERM: 0, os.Interrupt: 0, os.Kill: -1} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := serve(t, "--data", dir)
			store, err := esdbstore.Open(s.url, &esdbstore.Options{RetryFor: -1})
			require.NoError(t, err)
			defer func() { _ = store.Close() }()
			var mu sync.Mutex
			acked := make(map[eventstore.ID]bool)
			enough := make(chan struct{})
			var writers sync.WaitGroup
			for i := range 8 {
				writers.Go(func() {
					for {
						e := eventstore.Event{ID: eventstore.NewID(), Type: "x"}
						if _, err := store.Append(t.Context(), fmt.Sprint("load-", i), eventstore.Any, e); err != nil {
							return // it has stopped
						}
						mu.Lock()
						if acked[e.ID] = true; len(acked) == 500 {
							close(enough)
						}
						mu.Unlock()
					}
				})
			}
			select {
			case <-enough:
			case <-time.After(patience):
				require.Fail(t, "the load does not get going")
			}
			s.signal(t, sig)
			assert.Equal(t, code, s.end(t), s.notes)
			writers.Wait()

			kept, err := logstore.Open(dir, nil)
			require.NoError(t, err)
			defer func() { _ = kept.Close() }()
			seen := make(map[eventstore.ID]bool)
			for r, err := range kept.ReadAll(t.Context(), eventstore.ReadAllOptions{Filter: eventstore.Filter{Categories: []string{"load"}}}) {
				require.NoError(t, err)
				assert.False(t, seen[r.ID], "twice")
				seen[r.ID] = true
				delete(acked, r.ID)
			}
			assert.Empty(t, acked, "acknowledged and gone")
		})
	}
}

// halfway is an append that the server has accepted and that lacks its end.
func halfway(t *testing.T, addr string) streams.Streams_AppendClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	a, err := streams.NewStreamsClient(conn).Append(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("late-1")},
		ExpectedStreamRevision: &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}},
	}}}))
	// Another call on the same connection shows that the first has arrived.
	read, err := streams.NewStreamsClient(conn).Read(t.Context(), &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption:  &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("none")}, RevisionOption: &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}}},
		CountOption:   &streams.ReadReq_Options_Count{Count: 1},
		FilterOption:  &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:    &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
		ReadDirection: streams.ReadReq_Options_Forwards,
	}})
	require.NoError(t, err)
	_, err = read.Recv()
	require.NoError(t, err)
	return a
}

func TestServeAnswersWhatItAcceptedBeforeItEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, "--data", dir, "--stop-timeout", "1m")
	a := halfway(t, s.addr)
	s.signal(t, syscall.SIGTERM)
	require.Eventually(t, func() bool { return strings.Contains(s.notes.String(), "stopping") }, patience, time.Millisecond)
	require.NoError(t, a.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_String_{String_: id(5)}},
		Metadata: map[string]string{"type": "late", "content-type": "application/json"},
		Data:     []byte(`{}`),
	}}}))
	res, err := a.CloseAndRecv()
	require.NoError(t, err)
	assert.NotNil(t, res.GetSuccess())
	assert.Zero(t, s.end(t), s.notes)
	again := serve(t, "--data", dir)
	assert.Contains(t, must(t, again.url, "read", "late-1"), id(5))
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, "--stop-timeout", "1h")
	halfway(t, s.addr)
	s.signal(t, syscall.SIGTERM)
	require.Eventually(t, func() bool { return strings.Contains(s.notes.String(), "stopping") }, patience, time.Millisecond)
	// The handler of signals is taken away just after that: repeat.
	require.Eventually(t, func() bool {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
			return true
		default:
			return false
		}
	}, patience, 10*time.Millisecond)
	assert.Equal(t, -1, s.end(t), "by the signal")
}

func TestTheStopTimeoutIsKept(t *testing.T) {
	t.Parallel()
	s := serve(t, "--stop-timeout", "50ms")
	halfway(t, s.addr)
	s.signal(t, os.Interrupt)
	assert.Zero(t, s.end(t), s.notes)
}

// A tail outlives its server and shows every event once.
func TestTailSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, "--data", dir)
	must(t, s.url, "append", "a-1", "-t", "first")
	f := start(t, "streams", "-c", s.url, "tail", "a-1", "--from", "start")
	assert.Contains(t, f.line(t), `"first"`)
	s.signal(t, syscall.SIGTERM)
	require.Zero(t, s.end(t))
	s = serve(t, "--data", dir, "--listen", s.addr)
	must(t, s.url, "append", "a-1", "-t", "second")
	var second struct {
		Version int
		Type    string
	}
	require.NoError(t, json.NewDecoder(bufio.NewReader(strings.NewReader(f.line(t)))).Decode(&second))
	assert.Equal(t, 2, second.Version)
	assert.Equal(t, "second", second.Type)
	f.signal(t, os.Interrupt)
	assert.Zero(t, f.end(t), f.notes)
	assert.Empty(t, f.all(t))
}
