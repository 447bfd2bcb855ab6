// Package redistest gives tests a real Redis.
package redistest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// A Server is a redis-server that ends with its test.
type Server struct {
	tb   testing.TB
	proc *redisproc.Server
}

// An Option changes how a server is started.
type Option func(*redisproc.Options)

// AOF makes the server write every change to disk before it answers.
func AOF() Option { return func(o *redisproc.Options) { o.AOF = true } }

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
	return &Server{tb, proc}
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
	return client(tb, s.Addr())
}

func client(tb testing.TB, addr string) *redis.Client {
	tb.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr})
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
	return client(tb, shared.proc.Addr()), fmt.Sprintf("t%d:", shared.used.Add(1))
}

// Main runs the tests of a package and stops the server of [Shared].
func Main(m *testing.M) {
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
