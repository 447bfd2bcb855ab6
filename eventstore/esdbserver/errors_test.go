package esdbserver_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Clients know an error by its code and its trailers, to the letter.
func TestErrorsAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	const odd = "bestellung-ü-☃"
	c.mustAppend(odd, 2)
	type said struct {
		code     codes.Code
		message  string
		trailers map[string][]string
	}
	check := func(what string, trailer map[string][]string, err error, want said) {
		t.Helper()
		got := map[string][]string{}
		for k := range want.trailers {
			got[k] = trailer[k]
		}
		assert.Equal(t, want, said{status.Code(err), status.Convert(err).Message(), got}, what)
	}
	_, trailer, err := c.deletes(false, odd, 7)
	wrong := said{
		codes.FailedPrecondition, "Delete failed due to WrongExpectedVersion. Stream: " + odd + ", Expected version: 7, Actual version: 1",
		map[string][]string{"exception": {"wrong-expected-version"}, "stream-name": {odd}, "expected-version": {"7"}, "actual-version": {"1"}},
	}
	check("delete", trailer, err, wrong)
	_, trailer, err = c.deletes(true, odd, 7)
	check("tombstone", trailer, err, wrong)
	for want, code := range map[int64]string{wantAny: "-2", wantNone: "-1", wantExists: "-4"} {
		_, trailer, err = c.deletes(false, "none", want)
		check("delete of nothing", trailer, err, said{
			codes.FailedPrecondition, "Delete failed due to WrongExpectedVersion. Stream: none, Expected version: " + code + ", Actual version: -1",
			map[string][]string{"exception": {"wrong-expected-version"}, "stream-name": {"none"}, "expected-version": {code}, "actual-version": {"-1"}},
		})
	}
	_, trailer, err = c.append("$all", wantAny)
	check("$all", trailer, err, said{codes.PermissionDenied, "Access Denied", map[string][]string{"exception": {"access-denied"}}})

	c.mustDelete(true, odd)
	gone := said{codes.FailedPrecondition, "Event stream '" + odd + "' is deleted.", map[string][]string{"exception": {"stream-deleted"}, "stream-name": {odd}}}
	_, trailer, err = c.append(odd, wantAny)
	check("append", trailer, err, gone)
	_, trailer, err = c.readAll(ofStream(odd, atStart))
	check("read", trailer, err, gone)
	_, trailer, err = c.deletes(false, odd, wantAny)
	check("delete", trailer, err, gone)
}

// Names may hold what trailers may not. The status must come all the same.
func TestErrorsAboutOddNames(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	for _, odd := range []string{"a\nb", "a\x00b", "a\tb", " a ", "\x7f", "a%b"} {
		c.mustAppend(odd, 1)
		_, trailer, err := c.deletes(false, odd, 7)
		assert.Equal(t, codes.FailedPrecondition, status.Code(err), "%q: %v", odd, err)
		assert.Equal(t, []string{"wrong-expected-version"}, trailer["exception"])
		c.mustDelete(true, odd)
		_, trailer, err = c.readAll(ofStream(odd, atStart))
		assert.Equal(t, codes.FailedPrecondition, status.Code(err), "%q: %v", odd, err)
		assert.Equal(t, []string{"stream-deleted"}, trailer["exception"])
		assert.Len(t, trailer["stream-name"], 1)
	}
	_, _, err := c.append("not \xff UTF-8", wantAny)
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}

// A brokenStore fails as it is told to, once it is.
type brokenStore struct {
	*memstore.Store
	err error
}

func (s *brokenStore) Append(ctx context.Context, stream string, x eventstore.Expected, es ...eventstore.Event) (eventstore.Receipt, error) {
	if stream == "s" {
		return eventstore.Receipt{}, s.err
	}
	return s.Store.Append(ctx, stream, x, es...)
}

func (s *brokenStore) Read(ctx context.Context, stream string, o eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	if stream == "s" {
		return func(yield func(eventstore.Recorded, error) bool) { yield(eventstore.Recorded{}, s.err) }
	}
	return s.Store.Read(ctx, stream, o)
}

func (s *brokenStore) Delete(context.Context, string, eventstore.Expected) (eventstore.Receipt, error) {
	return eventstore.Receipt{}, s.err
}

func TestErrorsOfTheStore(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		err   error
		code  codes.Code
		batch string
	}{
		{fmt.Errorf("read: %w", eventstore.ErrClosed), codes.Unavailable, "Unknown Unknown"},
		{&eventstore.UnavailableError{Op: "append", Err: errors.New("x")}, codes.Unavailable, "Unknown Unknown"},
		{&eventstore.TooLargeError{Stream: "s"}, codes.InvalidArgument, "InvalidArgument MaximumAppendSizeExceeded"},
		{&eventstore.InvalidError{What: "event type"}, codes.InvalidArgument, "InvalidArgument BadRequest"},
		{eventstore.ErrAccessDenied, codes.PermissionDenied, "PermissionDenied AccessDenied"},
		{fmt.Errorf("append: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DeadlineExceeded Timeout"},
		{errors.New("disk \xff on fire"), codes.Unknown, "Unknown Unknown"},
	} {
		c := stubOf(t, &brokenStore{memstore.New(nil), x.err})
		_, _, err := c.append("s", wantAny, proposalsOf(1)...)
		assert.Equal(t, x.code, status.Code(err), "append: %v", err)
		_, err = c.read(ofStream("s", atStart))
		assert.Equal(t, x.code, status.Code(err), "read: %v", err)
		code, _ := c.subscribe(ofStream("s", atStart)).end()
		assert.Equal(t, x.code, code, "subscribe: %v", x.err)
		_, _, err = c.deletes(false, "s", wantAny)
		assert.Equal(t, x.code, status.Code(err), "delete: %v", err)
		b := c.batch()
		b.send("a", batchOptions("s", wantAny), true, batched(1, "")...)
		assert.Equal(t, "a s: "+x.batch, b.next())
		assert.Empty(t, b.rest())
	}
}
