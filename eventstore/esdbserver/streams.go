package esdbserver

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// streamsServer is the service Streams.
type streamsServer struct {
	streams.UnimplementedStreamsServer
	*Server
}

func newStreamsServer(s *Server) streams.StreamsServer { return &streamsServer{Server: s} }

// nothing is the message that stands for a choice without a value.
var nothing = &shared.Empty{}

// An expectation is what a request expects of its stream.
type expectation struct {
	eventstore.Expected
	code int64 // as EventStoreDB numbers it: a revision, or -1, -2, -4
}

var (
	expectNothing = expectation{eventstore.Any, -2}
	expectNone    = expectation{eventstore.NoStream, -1}
	expectSome    = expectation{eventstore.StreamExists, -4}
)

// expectRevision expects that the stream's last event has a revision.
func expectRevision(revision uint64) expectation {
	at := min(revision, math.MaxInt64-1) // no stream gets there
	return expectation{eventstore.Exact(eventstore.Version(at + 1)), int64(at)}
}

var errNoExpectation = status.Error(codes.InvalidArgument, "`expectedStreamRevision` is a required argument of a revision, no stream, any or stream exists")

// expected reads what a request expects, which each message has types of its
// own for.
func expected(option any) (expectation, error) {
	switch o := option.(type) {
	case *streams.AppendReq_Options_Revision:
		return expectRevision(o.Revision), nil
	case *streams.DeleteReq_Options_Revision:
		return expectRevision(o.Revision), nil
	case *streams.TombstoneReq_Options_Revision:
		return expectRevision(o.Revision), nil
	case *streams.BatchAppendReq_Options_StreamPosition:
		return expectRevision(o.StreamPosition), nil
	case *streams.AppendReq_Options_NoStream, *streams.DeleteReq_Options_NoStream,
		*streams.TombstoneReq_Options_NoStream, *streams.BatchAppendReq_Options_NoStream:
		return expectNone, nil
	case *streams.AppendReq_Options_Any, *streams.DeleteReq_Options_Any,
		*streams.TombstoneReq_Options_Any, *streams.BatchAppendReq_Options_Any:
		return expectNothing, nil
	case *streams.AppendReq_Options_StreamExists, *streams.DeleteReq_Options_StreamExists,
		*streams.TombstoneReq_Options_StreamExists, *streams.BatchAppendReq_Options_StreamExists:
		return expectSome, nil
	}
	return expectation{}, errNoExpectation
}

func nameOf(id *shared.StreamIdentifier) string { return string(id.GetStreamName()) }
