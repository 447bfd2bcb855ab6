package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
)

const childEnv = "FOLDSTREAM_CRASH_CHILD"

// A job says what a child process does.
type job struct {
	Redis    string        // address
	Log      string        // directory of a logstore, or
	Tape     string        // file that says how long the log is
	LeaseTTL time.Duration // default leaseTTL
	Rebuild  bool          // a second version of the view, if there is none
	React    bool          // run the reactor instead of the views
}

// leaseTTL is short, so that there are many moments to be killed at.
const leaseTTL = 300 * time.Millisecond

// options are such that there are many small commits.
func options() *projection.Options {
	return &projection.Options{Partitions: partitions, BatchEvents: 20, LeaseTTL: leaseTTL, Backoff: 5 * time.Millisecond, CheckpointInterval: 50 * time.Millisecond}
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		redistest.Main(m)
		return
	}
	if err := child(text); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child projects until it is told to stop, and says how it does, a line of
// JSON each time.
func child(text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	store, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: j.Redis})
	defer func() { _ = rdb.Close() }()
	opts := options()
	if j.LeaseTTL > 0 {
		opts.LeaseTTL = j.LeaseTTL
	}
	opts.Owner = fmt.Sprint("process ", os.Getpid())
	opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	v := newViews(rdb, "")
	all := v.all
	if j.React {
		all = []*projection.Projection{newReactor(rdb)}
	}
	runner := projection.NewRunner(store, opts, all...)
	go report(ctx, runner)
	if j.Rebuild {
		go rebuild(ctx, runner, v)
	}
	return runner.Run(ctx)
}

// rebuild has the view rebuilt once, by whichever process gets to it.
func rebuild(ctx context.Context, r *projection.Runner, v *views) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if active, err := v.store.Active(ctx, view); err == nil && active.Number == 1 {
			if _, err := r.Rebuild(ctx, view, nil); err != nil {
				fmt.Fprintln(os.Stderr, "child:", err)
			}
		}
		<-tick.C
	}
}

func (j *job) open(ctx context.Context) (eventstore.Store, error) {
	if j.Log != "" {
		return logstore.Open(j.Log, nil)
	}
	l := newTape(j.Tape)
	if err := l.catchUp(); err != nil {
		return nil, err
	}
	go func() {
		if err := l.follow(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
	}()
	return l, nil
}

func report(ctx context.Context, r *projection.Runner) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	out := json.NewEncoder(os.Stdout)
	for ctx.Err() == nil {
		if all, err := r.Status(ctx); err == nil {
			_ = out.Encode(all[0])
		}
		<-tick.C
	}
}

// process is a running child.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer // what it logged; read only when it has ended

	mu     sync.Mutex
	status projection.Status
	lines  int // of status
	over   bool
}

func spawn(t *testing.T, j job) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(j)
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe, "-test.run=^$")}
	// The race detector would keep each process for a second when it ends.
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.said
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	go p.listen(out)
	waitFor(t, "a process that says how it does", func() bool { return p.heard() > 0 })
	return p
}

func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s projection.Status
		if json.Unmarshal(lines.Bytes(), &s) == nil {
			p.mu.Lock()
			p.status, p.lines = s, p.lines+1
			p.mu.Unlock()
		}
	}
}

// now returns the last status, and how many there were.
func (p *process) now() projection.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *process) heard() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// kill ends the process with SIGKILL. One that has ended by itself before has
// failed.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// leave has the process end in order.
func (p *process) leave() { p.end(syscall.SIGTERM) }

func (p *process) end(sig syscall.Signal) {
	p.t.Helper()
	if p.over {
		return
	}
	p.over = true
	_ = p.cmd.Process.Signal(sig) // fails when it has ended
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if sig == syscall.SIGKILL && errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		err = nil
	}
	assert.NoError(p.t, err, "%s", p.said.String())
	if p.t.Failed() {
		said := p.said.String()
		p.t.Logf("process %d said last:\n%s", p.cmd.Process.Pid, said[max(0, len(said)-2000):])
	}
}

// emptyFile returns a file for tapes.
func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tape")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	return path
}
