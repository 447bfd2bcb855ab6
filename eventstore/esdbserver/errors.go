package esdbserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// Clients know an error by the trailer exception and read its details from
// further trailers, all named as in EventStoreDB.
const (
	trailerException = "exception"
	trailerStream    = "stream-name"
)

// exception returns a status and sets the trailers that say what it is. pairs
// are further trailers.
func exception(ctx context.Context, code codes.Code, name, message string, pairs ...string) error {
	for i := range pairs {
		pairs[i] = strings.Map(printable, pairs[i])
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs(append([]string{trailerException, name}, pairs...)...))
	return status.Error(code, message)
}

// printable replaces what HTTP/2 allows in no trailer, but EventStoreDB in the
// name of a stream: the client would see a broken protocol instead of the error.
func printable(r rune) rune {
	if r < ' ' || r == '\x7f' {
		return '\uFFFD'
	}
	return r
}

// withoutTrailers returns ctx for a part of a call that answers for itself:
// trailers speak of the whole call, and would gather there.
func withoutTrailers(ctx context.Context) context.Context {
	return grpc.NewContextWithServerTransportStream(ctx, noTrailers{})
}

type noTrailers struct{ grpc.ServerTransportStream }

// SetTrailer implements [grpc.ServerTransportStream].
func (noTrailers) SetTrailer(metadata.MD) error { return nil }

func accessDenied(ctx context.Context) error {
	return exception(ctx, codes.PermissionDenied, "access-denied", "Access Denied")
}

func streamDeleted(ctx context.Context, stream string) error {
	return exception(ctx, codes.FailedPrecondition, "stream-deleted", fmt.Sprintf("Event stream '%s' is deleted.", stream), trailerStream, stream)
}

func tooLarge(ctx context.Context, limit int) error {
	return exception(ctx, codes.InvalidArgument, "maximum-append-size-exceeded",
		fmt.Sprintf("Maximum Append Size of %d Exceeded.", limit), "maximum-append-size", strconv.Itoa(limit))
}

func missingMetadata(ctx context.Context, property string) error {
	return exception(ctx, codes.InvalidArgument, "missing-required-metadata-property",
		fmt.Sprintf("Required Metadata Property '%s' is missing", property), "required-metadata-properties", "type,content-type")
}

// wrongVersion is the answer to a delete. Appends say it in their response.
func wrongVersion(ctx context.Context, stream string, expected int64, actual eventstore.Version) error {
	was := strconv.FormatInt(int64(actual)-1, 10)
	want := strconv.FormatInt(expected, 10)
	return exception(ctx, codes.FailedPrecondition, "wrong-expected-version",
		fmt.Sprintf("Delete failed due to WrongExpectedVersion. Stream: %s, Expected version: %s, Actual version: %s", stream, want, was),
		trailerStream, stream, "expected-version", want, "actual-version", was)
}

// errStopping ends the streams that are open when the server stops.
var errStopping = status.Error(codes.Canceled, "Server is shutting down")

// unexpected is the answer to a message that should not be there.
func unexpected(what string, value any) error {
	return status.Errorf(codes.Unknown, "Unexpected %s: %v", what, value)
}

// required is the answer to a request without an option that it needs.
func required(argument, typ string) error {
	return status.Errorf(codes.InvalidArgument, "`%s` is a required argument of type %s", argument, typ)
}

// failed turns an error of the store into what clients know.
func (s *Server) failed(ctx context.Context, err error) error {
	var deleted *eventstore.StreamDeletedError
	switch {
	case errors.As(err, &deleted):
		return streamDeleted(ctx, deleted.Stream)
	case errors.Is(err, eventstore.ErrTooLarge):
		return tooLarge(ctx, s.opts.MaxAppendSize)
	case errors.Is(err, eventstore.ErrAccessDenied):
		return accessDenied(ctx)
	case errors.Is(err, eventstore.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, eventstore.ErrClosed), errors.Is(err, eventstore.ErrUnavailable):
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unknown, err.Error())
}
