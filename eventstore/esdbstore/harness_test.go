package esdbstore_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// leaking is set for a process in which the client may leave something behind.
const leaking = "ESDBSTORE_TEST_LEAKING"

func TestMain(m *testing.M) {
	if os.Getenv(leaking) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// A server is one that can be stopped and started again at the same address,
// with the same data.
type server struct {
	t     *testing.T
	store eventstore.Store
	opts  esdbserver.Options
	addr  string

	mu   sync.Mutex
	stop func()
}

// newServer starts a server of store, of a new memstore when that is nil.
func newServer(t *testing.T, store eventstore.Store, opts *esdbserver.Options) *server {
	t.Helper()
	if store == nil {
		store = memstore.New(nil)
	}
	s := &server{t: t, store: store, addr: "127.0.0.1:0"}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.Logger = quiet
	if s.opts.StopTimeout == 0 {
		s.opts.StopTimeout = 50 * time.Millisecond
	}
	s.up()
	t.Cleanup(s.down)
	return s
}

// up starts the server again.
func (s *server) up() {
	s.t.Helper()
	var l net.Listener
	require.Eventually(s.t, func() bool {
		var err error
		l, err = new(net.ListenConfig).Listen(s.t.Context(), "tcp", s.addr)
		return err == nil
	}, patience, 10*time.Millisecond)
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background()) // ends in Cleanup, after the test's own context
	ended := make(chan struct{})
	srv := esdbserver.New(s.store, &s.opts)
	go func() {
		defer close(ended)
		if err := srv.Serve(ctx, l); !errors.Is(err, context.Canceled) { // stopped before it was up
			assert.NoError(s.t, err)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = func() {
		cancel()
		<-ended
	}
}

// down stops the server; calling it again is harmless.
func (s *server) down() {
	s.mu.Lock()
	stop := s.stop
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (s *server) url() string { return "esdb://" + s.addr + "?tls=false&discoveryInterval=10" }

// open returns a store on the server.
func (s *server) open(opts *esdbstore.Options) *esdbstore.Store {
	s.t.Helper()
	return open(s.t, s.url(), opts)
}

func open(t *testing.T, url string, opts *esdbstore.Options) *esdbstore.Store {
	t.Helper()
	var o esdbstore.Options
	if opts != nil {
		o = *opts
	}
	o.Logger = quiet
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 200 * time.Millisecond
	}
	store, err := esdbstore.Open(url, &o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

// soon returns a context for what must happen.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func event(typ string) eventstore.Event {
	return eventstore.Event{ID: eventstore.NewID(), Type: typ, ContentType: eventstore.ContentTypeJSON, Data: []byte(`{}`)}
}

func events(n int) []eventstore.Event {
	es := make([]eventstore.Event, n)
	for i := range es {
		es[i] = event("counted")
	}
	return es
}

// versions reads a stream.
func versions(t *testing.T, s eventstore.Store, stream string) []eventstore.Version {
	t.Helper()
	var vs []eventstore.Version
	for r, err := range s.Read(soon(t), stream, eventstore.ReadOptions{}) {
		require.NoError(t, err)
		vs = append(vs, r.Version)
	}
	return vs
}

func span(from, to eventstore.Version) []eventstore.Version {
	var vs []eventstore.Version
	for v := from; v <= to; v++ {
		vs = append(vs, v)
	}
	return vs
}
