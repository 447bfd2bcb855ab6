package esdbstore_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// What the store costs beyond the official client that it is made of.

const many = 20_000

func serveBench(b *testing.B) (connection string, under eventstore.Store) {
	b.Helper()
	under = memstore.New(nil)
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	srv := esdbserver.New(under, &esdbserver.Options{Logger: quiet})
	go func() { ended <- srv.Serve(ctx, l) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
	})
	return "esdb://" + l.Addr().String() + "?tls=false", under
}

func sized() eventstore.Event {
	e := event("counted")
	e.Data = make([]byte, 200)
	e.ContentType = eventstore.ContentTypeBinary
	return e
}

func BenchmarkAppendOne(b *testing.B) {
	connection, _ := serveBench(b)
	b.Run("store", func(b *testing.B) {
		s, err := esdbstore.Open(connection, &esdbstore.Options{Logger: quiet})
		require.NoError(b, err)
		defer func() { _ = s.Close() }()
		for b.Loop() {
			_, err := s.Append(b.Context(), "a-1", eventstore.Any, sized())
			require.NoError(b, err)
		}
	})
	b.Run("client", func(b *testing.B) {
		c := rawClient(b, connection)
		for b.Loop() {
			_, err := c.AppendToStream(b.Context(), "a-2", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "counted", Data: make([]byte, 200)})
			require.NoError(b, err)
		}
	})
}

func rawClient(b *testing.B, connection string) *esdb.Client {
	b.Helper()
	conf, err := esdb.ParseConnectionString(connection)
	require.NoError(b, err)
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	require.NoError(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func BenchmarkReadAll(b *testing.B) {
	connection, under := serveBench(b)
	for range many / 100 {
		var es []eventstore.Event
		for range 100 {
			es = append(es, sized())
		}
		_, err := under.Append(b.Context(), "a-1", eventstore.Any, es...)
		require.NoError(b, err)
	}
	b.Run("store", func(b *testing.B) {
		s, err := esdbstore.Open(connection, &esdbstore.Options{Logger: quiet})
		require.NoError(b, err)
		defer func() { _ = s.Close() }()
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range s.ReadAll(b.Context(), eventstore.ReadAllOptions{}) {
				require.NoError(b, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/event")
	})
	b.Run("subscription", func(b *testing.B) {
		s, err := esdbstore.Open(connection, &esdbstore.Options{Logger: quiet})
		require.NoError(b, err)
		defer func() { _ = s.Close() }()
		b.ReportAllocs()
		for b.Loop() {
			for m, err := range s.SubscribeAll(b.Context(), eventstore.SubscribeAllOptions{}) {
				require.NoError(b, err)
				if m.Kind == eventstore.MessageCaughtUp {
					break
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/event")
	})
	b.Run("client", func(b *testing.B) {
		c := rawClient(b, connection)
		b.ReportAllocs()
		for b.Loop() {
			rs, err := c.ReadAll(b.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
			require.NoError(b, err)
			for {
				if _, err := rs.Recv(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
			rs.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/event")
	})
}
