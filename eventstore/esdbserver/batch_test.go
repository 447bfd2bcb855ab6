package esdbserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A batching is a BatchAppend call. Batches are named by letters, which stand
// for their correlation ids.
type batching struct {
	t     *testing.T
	call  streams.Streams_BatchAppendClient
	ids   map[string]eventstore.ID
	names map[eventstore.ID]string
}

func (c stub) batch() *batching {
	call, err := c.c.BatchAppend(c.ctx)
	require.NoError(c.t, err)
	return &batching{c.t, call, map[string]eventstore.ID{}, map[eventstore.ID]string{}}
}

func batchOptions(stream string, want int64) *streams.BatchAppendReq_Options {
	o := &streams.BatchAppendReq_Options{StreamIdentifier: named(stream)}
	switch want {
	case wantNone:
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	case wantAny:
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
	case wantExists:
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
	default:
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(want)}
	}
	return o
}

func batched(n int, data string) []*streams.BatchAppendReq_ProposedMessage {
	ps := make([]*streams.BatchAppendReq_ProposedMessage, n)
	for i := range ps {
		ps[i] = &streams.BatchAppendReq_ProposedMessage{
			Id: textID(eventstore.NewID()), Metadata: map[string]string{"type": "t", "content-type": "application/json"}, Data: []byte(data),
		}
	}
	return ps
}

// send sends one message of the batch named; o only in the first.
func (b *batching) send(name string, o *streams.BatchAppendReq_Options, final bool, ps ...*streams.BatchAppendReq_ProposedMessage) {
	b.t.Helper()
	id, known := b.ids[name]
	if !known {
		id = eventstore.NewID()
		b.ids[name], b.names[id] = id, name
	}
	require.NoError(b.t, b.call.Send(&streams.BatchAppendReq{CorrelationId: textID(id), Options: o, ProposedMessages: ps, IsFinal: final}))
}

// next describes the next answer.
func (b *batching) next() string {
	b.t.Helper()
	resp, err := b.call.Recv()
	require.NoError(b.t, err)
	return b.describe(resp)
}

func (b *batching) describe(resp *streams.BatchAppendResp) string {
	id, err := eventstore.ParseID(resp.GetCorrelationId().GetString_())
	require.NoError(b.t, err)
	out := fmt.Sprintf("%s %s: ", b.names[id], resp.GetStreamIdentifier().GetStreamName())
	if e := resp.GetError(); e != nil {
		require.Len(b.t, e.GetDetails(), 1, "clients read one detail")
		kind, ok := strings.CutPrefix(e.GetDetails()[0].GetTypeUrl(), "type.googleapis.com/event_store.client.")
		require.True(b.t, ok, e.GetDetails()[0].GetTypeUrl())
		return fmt.Sprintf("%s%s %s", out, codes.Code(e.GetCode()), kind)
	}
	s := resp.GetSuccess()
	if _, none := s.GetCurrentRevisionOption().(*streams.BatchAppendResp_Success_NoStream); none {
		return out + "no stream"
	}
	out += fmt.Sprint(s.GetCurrentRevision())
	if p := s.GetPosition(); p != nil {
		assert.Equal(b.t, p.GetCommitPosition(), p.GetPreparePosition())
		out += fmt.Sprintf(" @%d", p.GetCommitPosition())
	}
	return out
}

// rest closes the sending half and describes what is answered until the end.
func (b *batching) rest() []string {
	b.t.Helper()
	require.NoError(b.t, b.call.CloseSend())
	out := []string{}
	for {
		resp, err := b.call.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(b.t, err)
		out = append(out, b.describe(resp))
	}
}

func TestBatchesComeInSeveralMessagesAndInterleaved(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	b := c.batch()
	b.send("a", batchOptions("s", wantNone), false, batched(2, "1")...)
	b.send("b", batchOptions("u", wantAny), false)
	b.send("a", nil, false, batched(1, "2")...)
	b.send("b", nil, true, batched(1, "3")...)
	assert.Equal(t, "b u: 0 @9", b.next())
	b.send("a", nil, true, batched(1, "4")...)
	assert.Equal(t, "a s: 3 @13", b.next())
	b.send("a", batchOptions("s", 3), true, batched(1, "5")...)
	assert.Equal(t, "a s: 4 @14", b.next(), "a correlation id may be used again")
	b.send("z", batchOptions("none", wantAny), true)
	assert.Equal(t, "z none: no stream", b.next(), "no events")
	assert.Empty(t, b.rest())
	assert.Equal(t, []string{"s/0", "s/1", "s/2", "s/3", "s/4"}, c.shows(ofStream("s", atStart)))
}

func TestBatchesOfAStreamKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	b := c.batch()
	const n = 1000
	for i := range n { // each is right only after the one before
		b.send(fmt.Sprint("s", i), batchOptions("s", int64(i)-1), true, batched(1, fmt.Sprint(i))...)
		b.send(fmt.Sprint("u", i), batchOptions("u", int64(i)-1), true, batched(1, fmt.Sprint(i))...)
	}
	answers := b.rest()
	assert.Len(t, answers, 2*n)
	for _, a := range answers {
		assert.Contains(t, a, "@", "%s", a)
	}
}

func TestEachErrorOfABatchHasItsDetail(t *testing.T) {
	t.Parallel()
	c := serve(t, roomy(), &esdbserver.Options{MaxAppendSize: 1000, Users: testUsers()}).stub(t)
	c.as("admin").mustAppend("dead", 1)
	c.as("admin").mustDelete(true, "dead")
	c.mustAppend("s", 3)
	b := c.batch()
	noType := batched(1, "")
	delete(noType[0].Metadata, "type")
	past := batchOptions("s", wantAny)
	past.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Second))}
	negative := batchOptions("s", wantAny)
	negative.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(-time.Second)}
	for _, x := range []struct {
		o    *streams.BatchAppendReq_Options
		ps   []*streams.BatchAppendReq_ProposedMessage
		says string
	}{
		{batchOptions("s", wantNone), batched(1, ""), "s: AlreadyExists WrongExpectedVersion"},
		{batchOptions("dead", wantAny), batched(1, ""), "dead: NotFound StreamDeleted"},
		{batchOptions("$system", wantAny), batched(1, ""), "$system: PermissionDenied AccessDenied"},
		{batchOptions("$all", wantAny), batched(1, ""), "$all: PermissionDenied AccessDenied"},
		{past, batched(1, ""), "s: DeadlineExceeded Timeout"},
		{negative, batched(1, ""), "s: DeadlineExceeded Timeout"},
		{batchOptions("s", wantAny), batched(1, strings.Repeat("x", 1000)), "s: InvalidArgument MaximumAppendSizeExceeded"},
		{batchOptions("s", wantAny), noType, "s: InvalidArgument BadRequest"},
		{batchOptions("", wantAny), batched(1, ""), ": InvalidArgument BadRequest"},
		{&streams.BatchAppendReq_Options{StreamIdentifier: named("s")}, batched(1, ""), "s: InvalidArgument BadRequest"},
		{nil, batched(1, ""), ": InvalidArgument BadRequest"},
	} {
		b.send("x", x.o, true, x.ps...)
		assert.Equal(t, "x "+x.says, b.next())
	}
	assert.Empty(t, b.rest(), "the call outlives its batches' errors")
	assert.Empty(t, b.call.Trailer()["exception"], "trailers would speak of the call")
	assert.Equal(t, "2", outcome(c.append("s", wantAny)), "nothing was written")
}

func TestDetailsOfErrorsOfBatches(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 3)
	detail := func(o *streams.BatchAppendReq_Options, data string, into interface{ String() string }) {
		b := c.batch()
		b.send("x", o, true, batched(1, data)...)
		resp, err := b.call.Recv()
		require.NoError(t, err)
		m, err := resp.GetError().GetDetails()[0].UnmarshalNew()
		require.NoError(t, err)
		assert.Equal(t, into.String(), m.(interface{ String() string }).String()) //nolint:forcetypeassert // all messages have it
		assert.Empty(t, b.rest())
	}
	at := &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: 2}
	detail(batchOptions("s", wantNone), "", &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption:  at,
		ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}},
	})
	detail(batchOptions("s", 7), "", &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption:  at,
		ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: 7},
	})
	detail(batchOptions("none", wantExists), "", &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
		ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}},
	})
	detail(batchOptions("s", wantAny), strings.Repeat("x", eventstore.DefaultMaxAppendSize), &shared.MaximumAppendSizeExceeded{MaxAppendSize: eventstore.DefaultMaxAppendSize})
	c.mustDelete(true, "s")
	detail(batchOptions("s", wantAny), "", &shared.StreamDeleted{StreamIdentifier: named("s")})
}

func TestAfterAnErrorTheRestOfABatchIsIgnored(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	b := c.batch()
	b.send("a", batchOptions("$all", wantAny), false, batched(1, "")...)
	assert.Equal(t, "a $all: PermissionDenied AccessDenied", b.next())
	b.send("a", nil, false, batched(1, "")...)
	b.send("a", nil, true, batched(1, "")...)
	b.send("b", batchOptions("s", wantAny), true, batched(1, "")...)
	assert.Equal(t, "b s: 0 @9", b.next())
	assert.Empty(t, b.rest())
}

// The answer must come by itself: the client may have nothing more to send.
func TestABatchThatIsNotCompletedIsAnsweredAtItsDeadline(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	b := c.batch()
	o := batchOptions("s", wantAny)
	o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(20 * time.Millisecond)}
	b.send("a", o, false, batched(1, "")...)
	assert.Equal(t, "a s: DeadlineExceeded Timeout", b.next())
	b.send("a", nil, true, batched(1, "")...)
	b.send("b", batchOptions("s", wantNone), true, batched(1, "")...)
	assert.Equal(t, "b s: 0 @9", b.next(), "late messages are ignored")
	assert.Empty(t, b.rest())
}

func TestHalfAClosedCallIsAnsweredToItsEnd(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: memstore.New(nil), entered: make(chan struct{}, 1), release: make(chan struct{})}
	c := stubOf(t, store)
	b := c.batch()
	b.send("a", batchOptions("slow-1", wantAny), true, batched(1, "")...)
	b.send("b", batchOptions("s", wantAny), false, batched(1, "")...)
	<-store.entered
	require.NoError(t, b.call.CloseSend())
	assert.Equal(t, "b s: DeadlineExceeded Timeout", b.next(), "it can never be completed")
	close(store.release)
	assert.Equal(t, []string{"a slow-1: 0 @9"}, b.rest())
}

// A store that is slow for one stream holds up only that stream.
func TestBatchesOfOtherStreamsOvertake(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: memstore.New(nil), entered: make(chan struct{}, 1), release: make(chan struct{})}
	b := stubOf(t, store).batch()
	b.send("a", batchOptions("slow-1", wantAny), true, batched(1, "")...)
	<-store.entered
	b.send("b", batchOptions("s", wantAny), true, batched(1, "")...)
	assert.Equal(t, "b s: 0 @9", b.next())
	close(store.release)
	assert.Equal(t, "a slow-1: 0 @10", b.next())
	assert.Empty(t, b.rest())
}

func TestStoppingAnswersTheBatchesOnTheirWay(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: memstore.New(nil), entered: make(chan struct{}, 1), release: make(chan struct{})}
	s := serve(t, store, nil)
	sub := s.stub(t).subscribe(ofStream("s", atStart))
	assert.Equal(t, around(), sub.next(2))
	b := s.stub(t).batch()
	b.send("a", batchOptions("slow-1", wantAny), true, batched(1, "")...)
	<-store.entered
	var stopping sync.WaitGroup
	stopping.Go(s.stop)
	code, _ := sub.end() // it is stopping
	assert.Equal(t, codes.Canceled, code)
	close(store.release)
	assert.Equal(t, "a slow-1: 0 @9", b.next())
	_, err := b.call.Recv()
	assert.Equal(t, codes.Canceled, status.Code(err), "%v", err)
	stopping.Wait()
}

func TestAPanicInABatchIsAnAnswer(t *testing.T) {
	t.Parallel()
	b := stubOf(t, &panicStore{memstore.New(nil)}).batch()
	b.send("a", batchOptions("bad-1", wantAny), true, batched(1, "")...)
	assert.Equal(t, "a bad-1: Unknown Unknown", b.next())
	b.send("b", batchOptions("s", wantAny), true, batched(1, "")...)
	assert.Equal(t, "b s: 0 @9", b.next())
	assert.Empty(t, b.rest())
}

// A client must not fill the memory with batches that it never completes.
func TestOpenBatchesAreBounded(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("x", 1000<<10)
	c := stubOf(t, roomy())
	c.untilBusy(batched(1, data)) // in bytes
	c.untilBusy(nil)              // in number
}

// untilBusy sends batches that are never completed until one is refused.
func (c stub) untilBusy(ps []*streams.BatchAppendReq_ProposedMessage) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	call, err := c.c.BatchAppend(ctx)
	require.NoError(c.t, err)
	go func() {
		for err := error(nil); err == nil; {
			err = call.Send(&streams.BatchAppendReq{
				CorrelationId: textID(eventstore.NewID()), Options: batchOptions("s", wantAny), ProposedMessages: ps,
			})
		}
	}()
	for {
		resp, err := call.Recv()
		require.NoError(c.t, err)
		if resp.GetError().GetMessage() == "Server Is Too Busy" {
			return
		}
		require.Equal(c.t, "Timeout", resp.GetError().GetMessage())
	}
}

// A client that reads no answers holds up neither others nor the memory.
func TestAClientThatReadsNoAnswersEndsWithItsCall(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	c := s.stub(t)
	ctx, cancel := context.WithCancel(c.ctx)
	call, err := c.c.BatchAppend(ctx)
	require.NoError(t, err)
	sent := make(chan int)
	go func() {
		n := 0
		for call.Send(&streams.BatchAppendReq{
			CorrelationId: textID(eventstore.NewID()), Options: batchOptions(strings.Repeat("s", 2000), wantAny), IsFinal: true,
		}) == nil {
			n++
		}
		sent <- n
	}()
	s.stub(t).mustAppend("other", 10)
	cancel()
	<-sent
	s.stop() // would wait for what still hangs
}

func TestABatchWithoutACorrelationIDEndsTheCall(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	call, err := c.c.BatchAppend(c.ctx)
	require.NoError(t, err)
	require.NoError(t, call.Send(&streams.BatchAppendReq{Options: batchOptions("s", wantAny), IsFinal: true}))
	_, err = call.Recv()
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}
