package esdbstore

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"github.com/foldstream/foldstream/eventstore"
)

// attempt calls the client once.
func attempt[T any](ctx context.Context, s *Store, f func(context.Context, *esdb.Client) (T, error)) (result T, crossed bool, err error) {
	within, l, err := s.sup.acquire(ctx)
	if err != nil {
		return result, false, err
	}
	defer l.release()
	return call(within, l, f)
}

// writing says how a write is to be carried out.
type writing struct {
	op         string
	idempotent bool                        // it may be sent again when it may have been written
	why        func(context.Context) error // asks again for what the client lost of a refusal; or nil
}

// write carries out a write. It is repeated after a loss when it cannot have
// been written, or is idempotent. What the server says about it is returned as
// the client has it.
func write[T any](ctx context.Context, s *Store, w writing, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	p := s.patience(w.op)
	uncertain := false
	for {
		result, crossed, err := attempt(ctx, s, f)
		if err == nil {
			return result, nil
		}
		if w.why != nil && isEOF(err) && unsent(err) {
			if reason := w.why(ctx); isRefusal(reason) && !isDecision(reason) {
				err = reason // the server ended the call while it was being sent
			}
		}
		refused := isRefusal(err)
		if refused && (!uncertain || isDecision(err)) {
			return result, err
		}
		maybe := crossed && !refused && !unsent(err)
		uncertain = uncertain || maybe
		if ended := s.ready(ctx); ended != nil {
			err = ended
			if p.tries > 0 || uncertain {
				err = &eventstore.UnavailableError{Op: w.op, Uncertain: uncertain, Err: ended}
			}
			return result, err
		}
		if !passing(err) || maybe && !w.idempotent {
			return result, &eventstore.UnavailableError{Op: w.op, Uncertain: uncertain, Err: err}
		}
		if err := s.pause(ctx, p, err); err != nil {
			return result, uncertainly(err, w.op, uncertain)
		}
	}
}

// uncertainly marks an error that ended a row of tries.
func uncertainly(err error, op string, uncertain bool) error {
	var u *eventstore.UnavailableError
	switch {
	case !uncertain:
		return err
	case errors.As(err, &u):
		return &eventstore.UnavailableError{Op: op, Uncertain: true, Err: u.Err}
	}
	return &eventstore.UnavailableError{Op: op, Uncertain: true, Err: err}
}

// isRefusal reports whether err is the server's answer that it did not write.
func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	code, st := codeOf(err)
	switch code {
	case esdb.ErrorCodeWrongExpectedVersion, esdb.ErrorCodeStreamDeleted:
		return true
	}
	switch st.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.PermissionDenied, codes.Unauthenticated,
		codes.NotFound, codes.AlreadyExists, codes.Unimplemented:
		return code != esdb.ErrorCodeNotLeader
	}
	return false
}

// isDecision reports whether a refusal also says that no earlier request with
// the same ids was written.
func isDecision(err error) bool {
	_, ok := conflict(err)
	return ok
}
