package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// An EnqueueOption is an option of [Enqueue]: one of those of [Send], or
// [WithKey], [Delay] or [At].
type EnqueueOption interface{ enqueue(*enqueuing) }

type enqueuing struct {
	send []SendOption
	key  *string
	due  time.Time
}

type enqueueOption func(*enqueuing)

func (o enqueueOption) enqueue(e *enqueuing) { o(e) }

func (o SendOption) enqueue(e *enqueuing) { e.send = append(e.send, o) }

// WithKey says which commands keep their order: those of one key are carried
// out one after the other, as they were enqueued. The default is what the
// command's AggregateID method returns, if it has one. A command with an empty
// key waits for no other.
func WithKey(key string) EnqueueOption {
	return enqueueOption(func(e *enqueuing) { e.key = &key })
}

// Delay has a command carried out after d, by the clock of this process and that
// of the worker.
func Delay(d time.Duration) EnqueueOption {
	return enqueueOption(func(e *enqueuing) { e.due = time.Now().Add(d) })
}

// At has a command carried out at a time, by the worker's clock, or soon after.
// Commands of its key that are enqueued meanwhile do not wait for it: it takes
// its place in their order when its time has come.
func At(t time.Time) EnqueueOption {
	return enqueueOption(func(e *enqueuing) { e.due = t })
}

// maxCommandID is the longest id in bytes.
const maxCommandID = 512

// Enqueue puts a command on a queue and returns its id: that of [WithID], or a
// random one. When it returns without an error the command is stored, and a
// worker of the queue will carry it out. Correlation, cause and metadata of ctx
// and of the options reach its handler.
//
// Enqueuing an id again changes nothing and returns no error, whatever the
// command is; that makes it safe to repeat after any error, with the id that was
// returned beside it. A type that the codec does not know is an error that
// matches [ErrUnregistered].
func Enqueue(ctx context.Context, q *Queue, cmd any, opts ...EnqueueOption) (string, error) {
	if err := q.registered(cmd); err != nil {
		return "", err
	}
	var e enqueuing
	for _, o := range opts {
		o.enqueue(&e)
	}
	o := *eventstore.OriginFromContext(Context(ctx, cmd, e.send...))
	o.CommandID = cmp.Or(o.CommandID, eventstore.NewID().String())
	if len(o.CommandID) > maxCommandID {
		return "", &eventstore.InvalidError{What: "command id", Value: o.CommandID[:64] + "…", Remedy: fmt.Sprintf("at most %d bytes", maxCommandID)}
	}
	if q.opts.Annotate != nil {
		q.opts.Annotate(ctx, &o)
	}
	encoded, err := q.codec.Encode(cmd)
	if err != nil {
		return o.CommandID, fmt.Errorf("command: enqueue %T: %w", cmd, err)
	}
	stream := q.stream(o.CommandID)
	t := ticket{Key: e.keyOf(cmd), Due: e.due}
	_, err = q.store.Append(ctx, stream, eventstore.NoStream, enqueuedEvent(stream, encoded, &o, &t))
	if err != nil && !errors.Is(err, eventstore.ErrStreamDeleted) { // a tombstone: it finished long ago
		return o.CommandID, fmt.Errorf("command: enqueue %T: %w", cmd, err)
	}
	return o.CommandID, nil
}

func (q *Queue) registered(cmd any) error {
	if q.codec == nil || q.codec.TypeNames(reflect.TypeOf(cmd)) == nil {
		return &UnregisteredError{Queue: q.name, Command: fmt.Sprintf("%T", cmd)}
	}
	return nil
}

func (e *enqueuing) keyOf(cmd any) string {
	if e.key != nil {
		return *e.key
	}
	return target(cmd)
}
