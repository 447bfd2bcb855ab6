package esdbstore_test

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

// A strange server answers as a good one does not.
type strange struct {
	streams.UnimplementedStreamsServer
	hasty  bool // answers an append before it has read it
	append func(streams.Streams_AppendServer) error
	read   func(*streams.ReadReq, streams.Streams_ReadServer) error
	delete func(context.Context) error
}

func (s *strange) Delete(ctx context.Context, _ *streams.DeleteReq) (*streams.DeleteResp, error) {
	return nil, s.delete(ctx)
}

func (s *strange) Append(stream streams.Streams_AppendServer) error {
	for !s.hasty {
		if _, err := stream.Recv(); err != nil {
			return s.append(stream)
		}
	}
	return s.append(stream)
}

func (s *strange) Read(req *streams.ReadReq, stream streams.Streams_ReadServer) error {
	if s.read == nil {
		return status.Error(codes.PermissionDenied, "Access Denied")
	}
	return s.read(req, stream)
}

// serveStrange returns a connection string, and how to stop the server.
func serveStrange(t *testing.T, s *strange) (connection string, stop func()) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	rpc := grpc.NewServer()
	streams.RegisterStreamsServer(rpc, s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, rpc.Serve(l))
	}()
	stop = func() {
		rpc.Stop()
		<-ended
	}
	t.Cleanup(stop)
	return "esdb://" + l.Addr().String() + "?tls=false&discoveryInterval=10&gossipTimeout=1", stop
}

// follower refuses to write and names the leader.
func follower(leader string) *strange {
	host, port, _ := net.SplitHostPort(leader)
	refuse := func(ctx context.Context) error {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
		return status.Error(codes.NotFound, "Leader info available")
	}
	return &strange{
		append: func(s streams.Streams_AppendServer) error { return refuse(s.Context()) },
		delete: refuse,
	}
}

func TestTheLeaderIsFound(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	connection, _ := serveStrange(t, follower(srv.addr))
	s := open(t, connection, nil)
	r, err := s.Append(soon(t), "a-1", eventstore.NoStream, event("x"))
	require.NoError(t, err)
	assert.EqualValues(t, 1, r.Version)
	assert.Equal(t, span(1, 1), versions(t, s, "a-1"))
}

// The official client searches for the leader without regard to contexts, dies
// when it finds nobody, and never closes the connections that it tried. So this
// has a process of its own, which does not look for what is left.
func TestALeaderThatIsAwayBlocksNobody(t *testing.T) {
	t.Parallel()
	if os.Getenv(leaking) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		again.Env = append(os.Environ(), leaking+"=1")
		out, err := again.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	for _, followerToo := range []bool{false, true} {
		t.Run(strconv.FormatBool(followerToo), func(t *testing.T) {
			t.Parallel()
			gone := newServer(t, nil, nil)
			gone.down()
			connection, stop := serveStrange(t, follower(gone.addr))
			s := open(t, connection, &esdbstore.Options{MinBackoff: time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			start := time.Now()
			var callers sync.WaitGroup
			for range 30 {
				callers.Go(func() {
					// Not Append: there the client has a data race of its own, when
					// it closes the connection to the follower under its calls.
					for ctx.Err() == nil {
						_, err := s.Delete(ctx, "a-1", eventstore.Any)
						assert.True(t, errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded), "%v", err)
					}
				})
			}
			if followerToo {
				time.Sleep(50 * time.Millisecond) // in the middle of it
				stop()
			}
			callers.Wait()
			assert.Less(t, time.Since(start), 3*time.Second)
			require.NoError(t, s.Close())
			assert.Less(t, time.Since(start), 8*time.Second)
		})
	}
}

func TestAPanicOfTheClientIsAnError(t *testing.T) {
	t.Parallel()
	connection, _ := serveStrange(t, &strange{read: func(_ *streams.ReadReq, s streams.Streams_ReadServer) error {
		return s.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: 7}})
	}})
	s := open(t, connection, &esdbstore.Options{RetryFor: -1})
	for _, err := range s.Read(soon(t), "a-1", eventstore.ReadOptions{}) {
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		assert.Contains(t, err.Error(), "panicked")
	}
}

func TestTheServersLimitsAreTypedErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, &esdbserver.Options{MaxAppendSize: 1000}).open(nil)
	big := event("big")
	big.Data = make([]byte, 5000)
	_, err := s.Append(soon(t), "a-1", eventstore.NoStream, big)
	var tooLarge *eventstore.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	assert.Equal(t, eventstore.TooLargeError{Stream: "a-1", Size: big.Size(), Limit: 1000}, *tooLarge)
}

// What a server does not say for certain must not be taken for a refusal.
func TestAnAnswerThatSaysNothingIsUncertain(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unknown, codes.Internal, codes.DataLoss, codes.Aborted} {
		connection, _ := serveStrange(t, &strange{append: func(streams.Streams_AppendServer) error {
			return status.Error(code, "Exception was thrown by handler.")
		}})
		s := open(t, connection, &esdbstore.Options{RetryFor: -1})
		for _, x := range []eventstore.Expected{eventstore.Any, eventstore.NoStream} {
			_, err := s.Append(soon(t), "a-1", x, event("x"))
			var u *eventstore.UnavailableError
			require.ErrorAs(t, err, &u, code)
			assert.True(t, u.Uncertain, code)
		}
	}
}

// EventStoreDB reports the end of a history in which nothing matched as the
// highest position there is. Taken at its word, a subscription would resume at
// the end and miss what was written meanwhile.
func TestTheCheckpointThatMeansNothingIsIgnored(t *testing.T) {
	t.Parallel()
	const head = 100
	var mu sync.Mutex
	var resumed []uint64
	connection, _ := serveStrange(t, &strange{read: func(req *streams.ReadReq, s streams.Streams_ReadServer) error {
		if req.GetOptions().GetSubscription() == nil { // the head
			return s.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
				Event: &streams.ReadResp_ReadEvent_RecordedEvent{
					Id:               &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{}}},
					StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("x-1")},
					CommitPosition:   head, PreparePosition: head, Metadata: map[string]string{"created": "0", "type": "x"},
				},
			}}})
		}
		mu.Lock()
		resumed = append(resumed, req.GetOptions().GetAll().GetPosition().GetCommitPosition())
		mu.Unlock()
		for _, m := range []*streams.ReadResp{
			{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{}}},
			{Content: &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: math.MaxUint64, PreparePosition: math.MaxUint64}}},
			{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}},
		} {
			if err := s.Send(m); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return nil
	}})
	s := open(t, connection, nil)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	for m, err := range s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{Filter: eventstore.Filter{Types: []string{"mine"}}}) {
		if errors.Is(err, context.Canceled) {
			break
		}
		require.NoError(t, err)
		assert.Equal(t, eventstore.Message{Kind: eventstore.MessageCaughtUp, Position: head}, m)
		settled(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(resumed) == 2
		}, "it subscribes again, with a narrow window")
		cancel()
	}
	assert.Equal(t, []uint64{0, head}, resumed)
}

// Of a call that the server ends while it is being sent the client loses the
// reason.
func TestARefusalThatTheClientLostIsAskedForAgain(t *testing.T) {
	t.Parallel()
	connection, _ := serveStrange(t, &strange{hasty: true, append: func(streams.Streams_AppendServer) error {
		return status.Error(codes.PermissionDenied, "Access Denied")
	}})
	s := open(t, connection, nil)
	_, err := s.Append(soon(t), "a-1", eventstore.NoStream, events(3000)...)
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
}
