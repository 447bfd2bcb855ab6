package esdbstore

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// codeOf returns the client's own code and the gRPC status behind an error. The
// client wraps some errors and not others, and knows but a few of the codes.
func codeOf(err error) (esdb.ErrorCode, *status.Status) {
	code := esdb.ErrorCodeUnknown
	var e *esdb.Error
	if errors.As(err, &e) {
		code = e.Code()
		if e.Err() != nil {
			err = e.Err()
		}
	}
	st, _ := status.FromError(err) // unwraps; Unknown for what is no status
	return code, st
}

// lost reports whether an error means that the client is of no more use: it
// would search for a node in a way that nobody can stop.
func lost(err error) bool {
	code, st := codeOf(err)
	return code == esdb.ErrorUnavailable || code == esdb.ErrorCodeConnectionClosed ||
		st.Code() == codes.Unavailable || errors.Is(err, errPanicked)
}

// passing reports whether an error is likely to go away by itself: the server
// is away, stopping, busy, changing leaders, or the connection was cut.
func passing(err error) bool {
	if s := (*searchError)(nil); errors.As(err, &s) || lost(err) {
		return true
	}
	code, st := codeOf(err)
	switch {
	case code == esdb.ErrorCodeNotLeader:
		return true
	case st.Code() == codes.Aborted, st.Code() == codes.Canceled, st.Code() == codes.DeadlineExceeded:
		return true // a server that stops cancels; the caller's own end was looked at before
	case st.Code() == codes.Internal:
		return strings.Contains(st.Message(), "RST_STREAM") || strings.Contains(st.Message(), "EOF")
	}
	return errors.Is(err, io.EOF)
}

// unsent reports whether an error of a write says that the request did not
// reach the server whole, so that nothing can have been written: the server
// waits for the end of the request.
func unsent(err error) bool {
	if s := (*searchError)(nil); errors.As(err, &s) {
		return true
	}
	text := err.Error()
	return strings.HasPrefix(text, "could not construct append operation") ||
		strings.HasPrefix(text, "could not send append request") ||
		strings.Contains(text, "Error while dialing") // there was no connection to send it on
}

var (
	gotVersion    = regexp.MustCompile(`but got '(no_stream|\d+)'`)
	actualVersion = regexp.MustCompile(`Actual version: (-?\d+)`)
	appendLimit   = regexp.MustCompile(`Maximum Append Size of (\d+) Exceeded`)
	eventLimit    = regexp.MustCompile(`Size: (\d+), exceeds Maximum Append Event Size of (\d+)`)
	deletedStream = regexp.MustCompile(`^Event stream '.*' is deleted`)
)

// translate returns the port's error for what a call on stream was answered.
// What it does not know it returns as it is, with the operation before it.
func translate(op, stream string, err error) error {
	code, st := codeOf(err)
	switch {
	case code == esdb.ErrorCodeStreamDeleted,
		st.Code() == codes.FailedPrecondition && deletedStream.MatchString(st.Message()):
		return &eventstore.StreamDeletedError{Stream: stream}
	case code == esdb.ErrorCodeResourceNotFound:
		return &eventstore.StreamNotFoundError{Stream: stream}
	case st.Code() == codes.Unauthenticated:
		return &credentialsError{op}
	case st.Code() == codes.PermissionDenied:
		return fmt.Errorf("esdbstore: %s: %w: give this user the right to it, or credentials to the connection string, which are sent with TLS only", op, eventstore.ErrAccessDenied)
	case errors.Is(err, eventstore.ErrClosed):
		return eventstore.ErrClosed
	case st.Code() == codes.InvalidArgument:
		return &eventstore.InvalidError{What: "request to " + op, Value: stream, Remedy: st.Message()}
	}
	return fmt.Errorf("esdbstore: %s: %w", op, err)
}

// A credentialsError says that the server knows no such user and password. It
// matches ErrAccessDenied.
type credentialsError struct{ op string }

func (e *credentialsError) Error() string {
	return fmt.Sprintf("esdbstore: %s: %v: the server does not accept the user and password of the connection string", e.op, eventstore.ErrAccessDenied)
}

func (e *credentialsError) Is(target error) bool { return target == eventstore.ErrAccessDenied }

// conflict returns the actual version that a refusal names, and whether err is
// one: as text in the answer to an append, as a status for Delete and Tombstone.
func conflict(err error) (actual eventstore.Version, ok bool) {
	code, st := codeOf(err)
	if code == esdb.ErrorCodeWrongExpectedVersion {
		if m := gotVersion.FindStringSubmatch(err.Error()); m != nil && m[1] != "no_stream" {
			return version(m[1]), true
		}
		return 0, true
	}
	if st.Code() == codes.FailedPrecondition {
		if m := actualVersion.FindStringSubmatch(st.Message()); m != nil {
			return version(m[1]), true
		}
	}
	return 0, false
}

// version returns the version of a revision in text, 0 for -1.
func version(revision string) eventstore.Version {
	n, err := strconv.ParseInt(revision, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return eventstore.Version(n) + 1
}

// tooLarge returns the error for an append over the server's limit, or nil.
func tooLarge(stream string, size int, err error) error {
	_, st := codeOf(err)
	if st.Code() != codes.InvalidArgument {
		return nil
	}
	if m := appendLimit.FindStringSubmatch(st.Message()); m != nil {
		return &eventstore.TooLargeError{Stream: stream, Size: size, Limit: number(m[1])}
	}
	if m := eventLimit.FindStringSubmatch(st.Message()); m != nil {
		return &eventstore.TooLargeError{Stream: stream, Size: number(m[1]), Limit: number(m[2])}
	}
	return nil
}

func number(s string) int {
	n, _ := strconv.Atoi(s) // the expressions allow digits only
	return n
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
