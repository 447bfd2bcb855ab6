package esdbserver

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

// groupFailed turns an error of the groups into the status and the trailers
// that clients know it by.
func (s *Server) groupFailed(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*groups.ExistsError](err); ok {
		return groupException(ctx, codes.AlreadyExists, "persistent-subscription-exists", e.Stream, e.Group,
			fmt.Sprintf("Subscription group %s on stream %s exists.", e.Group, e.Stream))
	}
	if e, ok := errors.AsType[*groups.NotFoundError](err); ok {
		return groupException(ctx, codes.NotFound, "persistent-subscription-does-not-exist", e.Stream, e.Group,
			fmt.Sprintf("Subscription group %s on stream %s does not exist.", e.Group, e.Stream))
	}
	if e, ok := errors.AsType[*groups.FullError](err); ok {
		return groupException(ctx, codes.FailedPrecondition, "maximum-subscribers-reached", e.Stream, e.Group,
			fmt.Sprintf("Maximum subscriptions reached for subscription group %s on stream %s.", e.Group, e.Stream))
	}
	if e, ok := errors.AsType[*groups.DroppedError](err); ok {
		return groupException(ctx, codes.Canceled, "persistent-subscription-dropped", e.Stream, e.Group,
			fmt.Sprintf("Subscription group %s on stream %s was dropped.", e.Group, e.Stream))
	}
	if e, ok := errors.AsType[*groups.FailedError](err); ok {
		return groupException(ctx, codes.Internal, "persistent-subscription-failed", e.Stream, e.Group,
			fmt.Sprintf("Subscription group %s on stream %s failed: '%s'", e.Group, e.Stream, e.Reason), "reason", e.Reason)
	}
	if errors.Is(err, groups.ErrStopped) {
		return errStopping
	}
	return s.failed(ctx, err)
}

func groupException(ctx context.Context, code codes.Code, name, stream, group, message string, pairs ...string) error {
	return exception(ctx, code, name, message, append(pairs, trailerStream, stream, "group-name", group)...)
}
