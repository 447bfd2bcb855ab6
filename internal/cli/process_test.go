package cli_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/cli"
)

// patience is how long a test waits for a process.
const patience = 30 * time.Second

// program is foldstream, built once for all tests that need a process.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "foldstream-cli-"); program.err != nil { //nolint:usetesting // outlives the test that builds it
			return
		}
		program.path = filepath.Join(program.dir, "foldstream")
		out, err := exec.Command("go", "build", "-o", program.path, "github.com/foldstream/foldstream/cmd/foldstream").CombinedOutput()
		if err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, program.err)
	return program.path
}

// A process is foldstream at work.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	notes  *notes
	exited chan struct{}
	err    error // once exited is closed
}

// start begins a command. It is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith begins a command with some input.
func startWith(t *testing.T, stdin *os.File, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(build(t), args...), notes: &notes{}, exited: make(chan struct{})}
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	p.cmd.Env = append(os.Environ(), "FOLDSTREAM_URL=", "ESDB_URL=")
	p.cmd.Stderr = p.notes
	out, in, err := os.Pipe() // not StdoutPipe: Wait closes that one
	require.NoError(t, err)
	p.cmd.Stdout = in
	require.NoError(t, p.cmd.Start())
	require.NoError(t, in.Close())
	p.out = bufio.NewReader(out)
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		_ = out.Close()
	})
	return p
}

// line returns the next line of standard output.
func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "it said no more on stdout, and on stderr: %s", p.notes)
	return strings.TrimRight(line, "\n")
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
}

// end waits for the process and returns its exit code, -1 for a signal.
func (p *process) end(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		require.Fail(t, "it does not end", p.notes)
	}
	if exit := (*exec.ExitError)(nil); errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	require.NoError(t, p.err)
	return 0
}

// kill ends the process for what it has said until then.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, os.Kill)
	p.end(t)
}

// notes is standard error, which may be looked at while it is written.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}

// A server is foldstream serve.
type server struct {
	*process

	url  string // the connection string it says
	addr string // host:port
}

// serve starts a server on a free port unless args say which.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "info"}, args...)
	s := &server{process: start(t, args...)}
	var ok bool
	s.url, ok = strings.CutPrefix(s.line(t), "connect to  ")
	require.True(t, ok, "the first line says where to connect to")
	_, rest, _ := strings.Cut(s.url, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	s.addr, _, _ = strings.Cut(rest, "?")
	return s
}

// run carries out foldstream streams in this process against a server.
func run(t *testing.T, url, in string, args ...string) result {
	t.Helper()
	var out, notes bytes.Buffer
	code := cli.Run(t.Context(), append([]string{"streams", "-c", url}, args...), strings.NewReader(in), &out, &notes)
	return result{code, out.String(), notes.String()}
}

// must is run of a command that goes well.
func must(t *testing.T, url string, args ...string) string {
	t.Helper()
	got := run(t, url, "", args...)
	require.Equal(t, 0, got.code, got.err)
	require.Empty(t, got.err)
	return got.out
}

// all reads what is left of standard output.
func (p *process) all(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(p.out)
	require.NoError(t, err)
	return string(text)
}
