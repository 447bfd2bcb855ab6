// Package redistest gives tests a real Redis.
package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// A Server is a redis-server that ends with its test.
type Server struct {
	tb   testing.TB
	proc *redisproc.Server
	tls  *tls.Config // of clients, nil without TLS

	once    sync.Once
	control *redis.Client // see admin
}

// An Option changes how a server is started.
type Option func(*redisproc.Options)

// AOF makes the server write every change to disk before it answers.
func AOF() Option { return func(o *redisproc.Options) { o.AOF = true } }

// AOFEverySecond makes the server write every change to a file that it syncs
// once a second. A server that is killed may lose what it has answered.
func AOFEverySecond() Option { return func(o *redisproc.Options) { o.AOFEverySecond = true } }

// Args adds arguments to the command line of redis-server.
func Args(args ...string) Option {
	return func(o *redisproc.Options) { o.Args = append(o.Args, args...) }
}

// Start starts a redis-server of the test's own and kills it when the test has
// ended. Without redis-server on the PATH the test is skipped, and fails where
// the environment says CI=true.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	var o redisproc.Options
	for _, opt := range opts {
		opt(&o)
	}
	proc, err := redisproc.StartServer("", &o)
	check(tb, err)
	tb.Cleanup(func() {
		if err := proc.Stop(); err != nil {
			tb.Errorf("redistest: %v", err)
		}
	})
	return &Server{tb: tb, proc: proc}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, redisproc.ErrNotInstalled) && os.Getenv("CI") != "true":
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

// Addr returns the host and port of the server.
func (s *Server) Addr() string { return s.proc.Addr() }

// Socket returns the path of the server's unix socket.
func (s *Server) Socket() string { return s.proc.Socket() }

// Client returns a client that is closed when the test has ended.
func (s *Server) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	return client(tb, s.Options())
}

// Options returns options for a client of the server.
func (s *Server) Options() *redis.Options {
	return &redis.Options{Addr: s.Addr(), TLSConfig: s.tls}
}

// admin returns a client over the unix socket, for what is asked of the server
// itself. It survives a restart of the server.
func (s *Server) admin() *redis.Client {
	s.once.Do(func() {
		s.control = redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket(), MaxRetries: -1})
		s.tb.Cleanup(func() { _ = s.control.Close() })
	})
	return s.control
}

func client(tb testing.TB, opts *redis.Options) *redis.Client {
	tb.Helper()
	rdb := redis.NewClient(opts)
	tb.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it
	return rdb
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.proc.Kill() }

// Restart starts the server again, on the same port with the same files.
func (s *Server) Restart() {
	s.tb.Helper()
	if err := s.proc.Restart(); err != nil {
		s.tb.Fatal(err)
	}
}

// Pause has the server hang, with SIGSTOP, until [Server.Resume].
func (s *Server) Pause() {
	s.tb.Helper()
	check(s.tb, s.proc.Signal(syscall.SIGSTOP))
}

// Resume has a paused server go on.
func (s *Server) Resume() {
	s.tb.Helper()
	check(s.tb, s.proc.Signal(syscall.SIGCONT))
}

// User makes a user with the rules of ACL SETUSER and returns a client of it.
func (s *Server) User(tb testing.TB, name, password string, rules ...string) *redis.Client {
	tb.Helper()
	s.command(setUser(name, password, rules)...)
	opts := s.Options()
	opts.Username, opts.Password = name, password
	return client(tb, opts)
}

func setUser(name, password string, rules []string) []any {
	args := []any{"acl", "setuser", name, "on", ">" + password}
	for _, rule := range rules {
		args = append(args, rule)
	}
	return args
}

// await polls until something that a server does has happened.
func await(tb testing.TB, what string, happened func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !happened() {
		select {
		case <-tick.C:
		case <-timeout:
			tb.Fatalf("redistest: %s: not after %s", what, patience)
		}
	}
}

// patience is how long servers are waited for.
const patience = 30 * time.Second

var shared struct {
	sync.Mutex
	proc *redisproc.Server
	used atomic.Uint64
}

// Shared returns a client of a server that all tests of a package use, and a
// prefix for keys that no other test has. The package's TestMain must call
// [Main].
func Shared(tb testing.TB) (rdb *redis.Client, prefix string) {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.proc == nil {
		proc, err := redisproc.StartServer("", nil)
		check(tb, err)
		shared.proc = proc
	}
	return client(tb, &redis.Options{Addr: shared.proc.Addr()}), fmt.Sprintf("t%d:", shared.used.Add(1))
}

// quiet keeps what clients log about servers that tests take away.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Main runs the tests of a package and stops the server of [Shared]. Clients
// log nothing.
func Main(m *testing.M) {
	redis.SetLogger(quiet{})
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.proc != nil {
		if err := shared.proc.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
