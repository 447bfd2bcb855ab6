package esdbserver_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
)

// A server is one that serves on loopback until the test ends or stop is called.
type server struct {
	addr string
	stop func() // and wait; may be called again
}

// serve starts a server of store.
func serve(t *testing.T, store eventstore.Store, opts *esdbserver.Options) *server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveOn(t, l, store, opts)
}

func serveOn(t *testing.T, l net.Listener, store eventstore.Store, opts *esdbserver.Options) *server {
	t.Helper()
	if opts == nil {
		opts = &esdbserver.Options{Logger: slog.New(slog.DiscardHandler)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s := esdbserver.New(store, opts)
	go func() {
		defer close(ended)
		assert.NoError(t, s.Serve(ctx, l))
	}()
	stop := func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return &server{addr: l.Addr().String(), stop: stop}
}

// client returns an official client of the server.
func (s *server) client(t *testing.T) *esdb.Client {
	t.Helper()
	return clientOf(t, "esdb://"+s.addr+"?tls=false")
}

func clientOf(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(connection)
	require.NoError(t, err)
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// dial returns a connection for the generated stubs, which say what the
// official client cannot.
func (s *server) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}
