package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

// TestMain lets the test binary be the shop, so that tests have a real process
// to kill.
func TestMain(m *testing.M) {
	if os.Getenv("SHOP_PROCESS") == "1" {
		main()
	}
	redis.SetLogger(redisSilence{})
	os.Exit(m.Run())
}

// shopProcess is a running `shop serve`.
type shopProcess struct {
	cmd    *exec.Cmd
	url    string
	stderr *bytes.Buffer
	exited chan error
}

func shopCommand(redisURL string, argv ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], argv...)
	cmd.Env = append(os.Environ(), "SHOP_PROCESS=1", "REDIS_URL="+redisURL)
	return cmd
}

func startShop(t *testing.T, redisURL, dir string) *shopProcess {
	t.Helper()
	p := &shopProcess{cmd: shopCommand(redisURL, "serve", "-data", dir, "-listen", "127.0.0.1:0"), stderr: &bytes.Buffer{}, exited: make(chan error, 1)}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { p.exited <- p.cmd.Wait() }()
	require.NoError(t, err, "shop serve said nothing")
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, line)
	p.url = url
	return p
}

// end sends a signal and returns how the process ended.
func (p *shopProcess) end(t *testing.T, sig os.Signal) error {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
	select {
	case err := <-p.exited:
		return err
	case <-time.After(30 * time.Second):
		require.Fail(t, "shop serve does not end")
		return nil
	}
}

// shoppers place orders until they are stopped and remember what was
// acknowledged.
type shoppers struct {
	client *http.Client
	url    string
	run    string
	stop   atomic.Bool
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]string // order -> status
	odd    []string          // answers that should not have been
}

func startShoppers(url, run string, n int) *shoppers {
	s := &shoppers{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}, Timeout: 20 * time.Second},
		url:    url, run: run, acked: map[string]string{},
	}
	for i := range n {
		s.wg.Go(func() {
			for k := 0; !s.stop.Load(); k++ {
				if !s.visit(fmt.Sprintf("%s-%d-%d", run, i, k)) {
					return
				}
			}
		})
	}
	return s
}

func (s *shoppers) visit(id string) bool {
	return s.post("/carts/"+id+"/items", teaItem) &&
		s.post("/carts/"+id+"/checkout", `{"order":"`+id+`","customer":"`+s.run+`"}`) && s.ack(id, "placed") &&
		s.post("/orders/"+id+"/pay", `{"amount_cents":900}`) && s.ack(id, "paid")
}

func (s *shoppers) post(path, body string) bool {
	resp, err := s.client.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		return false // the process has gone
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	if resp.StatusCode >= 300 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.odd = append(s.odd, fmt.Sprintf("%s: %d %s", path, resp.StatusCode, data))
		return false
	}
	return true
}

func (s *shoppers) ack(id, status string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[id] = status
	return true
}

func (s *shoppers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func (s *shoppers) end() {
	s.stop.Store(true)
	s.wg.Wait()
	s.client.CloseIdleConnections()
}

// checkAcked asks a shop for every order that was acknowledged. One that was
// acknowledged as placed may have been paid without anybody hearing of it.
func checkAcked(t *testing.T, url string, acked map[string]string) {
	t.Helper()
	for id, want := range acked {
		resp, err := http.Get(url + "/orders/" + id)
		require.NoError(t, err)
		data, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, "order %s: %s", id, data)
		var got Summary
		require.NoError(t, json.Unmarshal(data, &got))
		if string(got.Status) != want {
			require.Equal(t, [2]string{"placed", "paid"}, [2]string{want, string(got.Status)}, id)
		}
	}
}

// TestKilledShopLosesNothing kills a shop under load, again and again, and
// looks for everything that it had acknowledged.
func TestKilledShopLosesNothing(t *testing.T) {
	t.Parallel()
	for name, redisURL := range map[string]string{"Miniredis": "", "Redis": urlOf(redistest.Start(t))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked := map[string]string{}
			for round := range 4 {
				p := startShop(t, redisURL, dir)
				checkAcked(t, p.url, acked)
				s := startShoppers(p.url, fmt.Sprint("r", round), 8)
				require.Eventually(t, func() bool { return s.count() > 60 }, 30*time.Second, time.Millisecond)
				require.Error(t, p.end(t, syscall.SIGKILL))
				s.end()
				require.Empty(t, s.odd)
				maps.Copy(acked, s.acked)
			}
			p := startShop(t, redisURL, dir)
			checkAcked(t, p.url, acked)
			require.NoError(t, p.end(t, syscall.SIGTERM), p.stderr.String())

			code, out, errs := runShop(t.Context(), nil, redisURL, "rebuild", "-data", dir)
			require.Equal(t, 0, code, errs)
			require.Equal(t, 3, strings.Count(out, "equal to the live one"), out)
		})
	}
}

func TestTerminatedShopLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startShop(t, "", dir)
	s := startShoppers(p.url, "r", 8)
	require.Eventually(t, func() bool { return s.count() > 60 }, 30*time.Second, time.Millisecond)
	require.NoError(t, p.end(t, syscall.SIGTERM), "exit code 0: %s", p.stderr)
	s.end()
	require.Empty(t, s.odd)

	p = startShop(t, "", dir)
	checkAcked(t, p.url, s.acked)
	require.NoError(t, p.end(t, os.Interrupt))
}

func TestAFolderIsForOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startShop(t, "", dir)
	code, _, errs := runShop(t.Context(), nil, "", "status", "-data", dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "open already")
	require.NoError(t, p.end(t, syscall.SIGTERM))
}

// TestKilledImportGoesOn kills an import and runs it again: because every line
// has an id, nothing is done twice and nothing is missing.
func TestKilledImportGoesOn(t *testing.T) {
	t.Parallel()
	const carts = 1500
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "commands.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(busyFile(carts)), 0o600))
	cmd := shopCommand("", "import", file, "-data", dir)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { // the folder grows once lines are written
		size, _ := exec.Command("du", "-sk", dir).Output()
		var kb int
		_, _ = fmt.Sscan(string(size), &kb)
		return kb > 200
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()

	code, out, errs := runShop(t.Context(), nil, "", "import", file, "-json", "-data", dir)
	require.Equal(t, 0, code, errs)
	var s importSummary
	require.NoError(t, json.Unmarshal([]byte(out), &s))
	require.Equal(t, carts*8, s.Accepted, errs)
	a := openApp(t, dir, "")
	require.Equal(t, carts*9, facts(t, a.store))
}

func TestInterruptedImportSumsUp(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	var out bytes.Buffer
	cmd := shopCommand("", "import", "-", "-json", "-data", t.TempDir())
	cmd.Stdin, cmd.Stdout = r, &out
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.WriteString(w, "{\"type\":\"ApplyCoupon\",\"cart\":\"c\",\"code\":\"FIVER\"}\nnonsense\n")
	require.NoError(t, err)
	errs := bufio.NewReader(stderr)
	line, err := errs.ReadString('\n') // while more could come on standard input
	require.NoError(t, err)
	require.Contains(t, line, "line 2: malformed")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(errs)
	require.NoError(t, err)
	require.Contains(t, string(rest), "interrupted")
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 1, exit.ExitCode())
	var s importSummary
	require.NoError(t, json.Unmarshal(out.Bytes(), &s), out.String())
	s.Seconds = 0
	require.Equal(t, importSummary{Lines: 2, Accepted: 1, Malformed: 1}, s)
}
