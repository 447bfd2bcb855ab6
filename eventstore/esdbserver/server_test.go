package esdbserver_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/certtest"
)

func TestHTTPAndGRPCShareThePort(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	code, body := get(t, http.DefaultClient, "http://"+s.addr+"/health/live")
	assert.Equal(t, http.StatusNoContent, code)
	assert.Empty(t, body)
	code, body = get(t, http.DefaultClient, "http://"+s.addr+"/ping")
	assert.Equal(t, http.StatusOK, code)
	assert.JSONEq(t, `{"text":"Ping request successfully handled"}`, body)
	code, _ = get(t, http.DefaultClient, "http://"+s.addr+"/web")
	assert.Equal(t, http.StatusNotFound, code)
	_, err := serverfeatures.NewServerFeaturesClient(s.dial(t)).GetSupportedMethods(t.Context(), &shared.Empty{})
	require.NoError(t, err)
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// A connection that says nothing must hold up neither the others nor the end.
func TestASilentConnectionHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	code, _ := get(t, http.DefaultClient, "http://"+s.addr+"/health/live")
	assert.Equal(t, http.StatusNoContent, code)
	s.stop()
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = silent.Read(make([]byte, 1))
	require.Error(t, err)
	assert.False(t, errors.Is(err, context.DeadlineExceeded) || isTimeout(err), "it must have been closed: %v", err)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestFeaturesGossipAndWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), &esdbserver.Options{Advertise: "events.example:2114"})
	conn := s.dial(t)
	f, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(t.Context(), &shared.Empty{})
	require.NoError(t, err)
	assert.Regexp(t, `^\d+\.\d+\.\d+$`, f.EventStoreServerVersion)
	features := map[string][]string{}
	for _, m := range f.Methods {
		features[m.ServiceName+"/"+m.MethodName] = m.Features
	}
	assert.Equal(t, []string{"position", "events"}, features["event_store.client.streams.streams/read"])
	for _, m := range []string{"getinfo", "replayparked", "list", "restartsubsystem"} { // or clients fall back to HTTP
		assert.Equal(t, []string{"stream", "all"}, features["event_store.client.persistent_subscriptions.persistentsubscriptions/"+m])
	}
	cluster, err := gossip.NewGossipClient(conn).Read(t.Context(), &shared.Empty{})
	require.NoError(t, err)
	require.Len(t, cluster.Members, 1)
	m := cluster.Members[0]
	assert.Equal(t, "events.example", m.HttpEndPoint.Address)
	assert.EqualValues(t, 2114, m.HttpEndPoint.Port)
	assert.Equal(t, gossip.MemberInfo_Leader, m.State)
	assert.True(t, m.IsAlive)
	_, err = projections.NewProjectionsClient(conn).Reset(t.Context(), &projections.ResetReq{})
	assert.Equal(t, codes.Unimplemented, status.Code(err))
}

// Harnesses wait for the events that a new EventStoreDB has.
func TestFirstEventsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for range 2 {
		s := serve(t, store, nil)
		get(t, http.DefaultClient, "http://"+s.addr+"/ping")
		s.stop()
	}
	var streams []string
	for r, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		streams = append(streams, r.Stream)
	}
	assert.Equal(t, []string{
		"$$$stats-foldstream", "$$$user-ops", "$$$user-admin", "$$$scavenges", "$user-ops", "$user-admin", "$users", "$users",
	}, streams)
}

func TestAServerServesOnce(t *testing.T) {
	t.Parallel()
	s := esdbserver.New(memstore.New(nil), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, s.Serve(ctx, l), "told to stop before it began")
	require.ErrorIs(t, s.Serve(t.Context(), l), esdbserver.ErrServed)
}

// What was accepted is answered, subscriptions are told that they end.
func TestStoppingAnswersWhatWasAccepted(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: memstore.New(nil), entered: make(chan struct{}, 1), release: make(chan struct{})}
	s := serve(t, store, nil)
	c := s.client(t)
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.End{}})
	require.NoError(t, err)
	defer func() { _ = sub.Close() }()
	done := make(chan error, 1)
	go func() {
		_, err := c.AppendToStream(context.Background(), "slow-1", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "x", Data: []byte("{}")})
		done <- err
	}()
	<-store.entered
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	for {
		if e := sub.Recv(); e.SubscriptionDropped != nil {
			assert.Equal(t, codes.Canceled, status.Code(e.SubscriptionDropped.Error))
			break
		}
	}
	select {
	case <-stopped:
		t.Fatal("it stopped before it had answered")
	default:
	}
	close(store.release)
	require.NoError(t, <-done)
	<-stopped
}

type slowStore struct {
	*memstore.Store
	entered, release chan struct{}
}

func (s *slowStore) Append(ctx context.Context, stream string, x eventstore.Expected, es ...eventstore.Event) (eventstore.Receipt, error) {
	if stream == "slow-1" {
		s.entered <- struct{}{}
		<-s.release
	}
	return s.Store.Append(ctx, stream, x, es...)
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, &panicStore{memstore.New(nil)}, nil)
	c := s.client(t)
	_, err := c.AppendToStream(t.Context(), "bad-1", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "x", Data: []byte("{}")})
	require.Error(t, err)
	assert.ErrorContains(t, err, "Exception was thrown by handler.")
	_, err = c.AppendToStream(t.Context(), "good-1", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "x", Data: []byte("{}")})
	require.NoError(t, err)
}

type panicStore struct{ *memstore.Store }

func (s *panicStore) Append(ctx context.Context, stream string, x eventstore.Expected, es ...eventstore.Event) (eventstore.Receipt, error) {
	if stream == "bad-1" {
		panic("out of order")
	}
	return s.Store.Append(ctx, stream, x, es...)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert := certtest.New(t)
	s := serve(t, memstore.New(nil), &esdbserver.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12}, Users: esdbserver.DefaultUsers(),
	})
	web := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: cert.Pool, MinVersion: tls.VersionTLS12}}}
	defer web.CloseIdleConnections()
	code, _ := get(t, web, "https://"+s.addr+"/health/live")
	assert.Equal(t, http.StatusNoContent, code)
	for login, want := range map[string]bool{"admin:changeit@": true, "admin:wrong@": false, "nobody:changeit@": false, "": false} {
		c := clientOf(t, "esdb://"+login+s.addr+"?tlsVerifyCert=false")
		_, err := c.AppendToStream(t.Context(), "$system-1", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "x", Data: []byte("{}")})
		assert.Equal(t, want, err == nil, "%s: %v", login, err)
	}
}

func basic(login, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+password))
}
