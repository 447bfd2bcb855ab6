package esdbserver

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

// groupFailed turns an error of the groups into the status and the trailers
// that clients know it by.
func (s *Server) groupFailed(ctx context.Context, err error) error {
	if exists, ok := errors.AsType[*groups.ExistsError](err); ok {
		return groupStatus(ctx, codes.AlreadyExists, "persistent-subscription-exists", exists.Stream, exists.Group,
			"Subscription group %s on stream %s exists.")
	}
	if missing, ok := errors.AsType[*groups.NotFoundError](err); ok {
		return groupStatus(ctx, codes.NotFound, "persistent-subscription-does-not-exist", missing.Stream, missing.Group,
			"Subscription group %s on stream %s does not exist.")
	}
	if full, ok := errors.AsType[*groups.FullError](err); ok {
		return groupStatus(ctx, codes.FailedPrecondition, "maximum-subscribers-reached", full.Stream, full.Group,
			"Maximum subscriptions reached for subscription group %s on stream %s.")
	}
	if dropped, ok := errors.AsType[*groups.DroppedError](err); ok {
		return groupStatus(ctx, codes.Canceled, "persistent-subscription-dropped", dropped.Stream, dropped.Group,
			"Subscription group %s on stream %s was dropped.")
	}
	if failed, ok := errors.AsType[*groups.FailedError](err); ok {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("reason", failed.Reason))
		return groupStatus(ctx, codes.Internal, "persistent-subscription-failed", failed.Stream, failed.Group,
			"Subscription group %s on stream %s failed: '%s'", failed.Reason)
	}
	switch {
	case errors.Is(err, groups.ErrStopped):
		return status.Error(codes.Canceled, "Server is shutting down")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, eventstore.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return s.failed(ctx, err)
}

// groupStatus returns a status and sets its trailers. format takes the group,
// then the stream, then what more there is.
func groupStatus(ctx context.Context, code codes.Code, exception, stream, group, format string, more ...any) error {
	_ = grpc.SetTrailer(ctx, metadata.Pairs("exception", exception, "stream-name", stream, "group-name", group))
	return status.Error(code, fmt.Sprintf(format, append([]any{group, stream}, more...)...))
}
