package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A Status is what is known of a queued command.
type Status struct {
	Queue    string             `json:"queue"`
	ID       string             `json:"id"`
	Type     string             `json:"type"` // as the codec calls it
	Key      string             `json:"key,omitempty"`
	State    State              `json:"state"`
	Attempts int                `json:"attempts"`          // begun since it was enqueued or retried by hand
	Enqueued time.Time          `json:"enqueued"`          // by the store's clock
	Changed  time.Time          `json:"changed"`           // by the store's clock
	Due      time.Time          `json:"due,omitzero"`      // of a pending or retrying command: not before
	Worker   string             `json:"worker,omitempty"`  // that tried it last
	Outcome  Outcome            `json:"outcome,omitempty"` // of the last try, if one has ended
	Reason   string             `json:"reason,omitempty"`  // the last error
	Receipt  eventstore.Receipt `json:"receipt,omitzero"`  // of a done command

	ContentType string              `json:"content_type,omitempty"` // of Data
	Data        []byte              `json:"data,omitempty"`         // the command, as it was encoded
	Metadata    eventstore.Metadata `json:"metadata,omitzero"`      // of its first event, ids of cause and conversation among them

	Version  eventstore.Version  `json:"version"`  // of its stream
	Position eventstore.Position `json:"position"` // of its last event
}

// Err returns nil unless the command ended without being done: then it is an
// [*UndoneError].
func (s *Status) Err() error {
	if s.State == StateDone || !s.State.Ended() {
		return nil
	}
	return &UndoneError{Queue: s.Queue, ID: s.ID, State: s.State, Outcome: s.Outcome, Reason: s.Reason}
}

// fold takes in the next event of the command's stream. The zero status is that
// of a command of which there is no first event. What cannot be read counts for
// the type of its event alone.
func (s *Status) fold(r *eventstore.Recorded) {
	switch {
	case r.Type == typeEnqueued:
		t, _ := ticketOf(r)
		s.Queue, s.ID = eventstore.SplitStream(r.Stream)
		s.Type, s.Key, s.Due, s.Enqueued = t.Type, t.Key, t.Due, r.Created
		s.Data, s.ContentType, s.Metadata = r.Data, t.ContentType, r.Metadata
	case s.Version == 0:
		return // what was before is gone
	default:
		n, _ := noteOf(r)
		s.take(r.Type, &n)
	}
	s.at(r)
}

func (s *Status) at(r *eventstore.Recorded) {
	s.Version, s.Position, s.Changed = r.Version, r.Position, r.Created
}

// take changes the status as an event with a note says.
func (s *Status) take(eventType string, n *note) {
	state, ok := stateAfter[eventType]
	if !ok {
		return
	}
	s.State, s.Due, s.Attempts = state, n.Due, n.Attempt
	s.Worker = cmp.Or(n.Worker, s.Worker)
	if n.Outcome != nil {
		s.Outcome, s.Reason = *n.Outcome, n.Reason
	}
	if n.Receipt != nil {
		s.Receipt = *n.Receipt
	}
}

// stateAfter says in which state an event leaves a command.
var stateAfter = map[string]State{
	typeStarted: StateRunning, typeRetrying: StateRetrying, typeDone: StateDone, typeFailed: StateFailed,
	typeDeadLettered: StateDeadLettered, typeRequeued: StatePending, typeDropped: StateDropped,
	eventstore.TypeTombstone: StateDropped,
}

// Get returns the status of a command, or a [*NotQueuedError].
func (q *Queue) Get(ctx context.Context, id string) (Status, error) {
	var s Status
	for r, err := range q.store.Read(ctx, q.stream(id), eventstore.ReadOptions{}) {
		if err != nil {
			return s, q.explain(id, err)
		}
		s.fold(&r)
	}
	if s.Version == 0 {
		return s, &NotQueuedError{q.name, id}
	}
	return s, nil
}

func (q *Queue) explain(id string, err error) error {
	if errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, eventstore.ErrStreamDeleted) {
		return &NotQueuedError{q.name, id}
	}
	return fmt.Errorf("command %s of queue %s: %w", id, q.name, err)
}

// Await waits until a command has ended, see [State.Ended], and returns its
// status. How it ended is no error of Await, see [Status.Err]. Any process can
// wait for any command; one that was never enqueued, or has been gone for longer
// than the queue's retention, is a [*NotQueuedError]. When ctx is done the
// status so far is returned beside its error.
func (q *Queue) Await(ctx context.Context, id string) (Status, error) {
	var s Status
	for m, err := range q.store.Subscribe(ctx, q.stream(id), eventstore.SubscribeOptions{}) {
		switch {
		case err != nil:
			return s, q.explain(id, err)
		case m.Kind == eventstore.MessageEvent:
			s.fold(&m.Event)
		case m.Kind == eventstore.MessageCaughtUp && s.Version == 0:
			return s, &NotQueuedError{q.name, id}
		case m.Kind == eventstore.MessageCaughtUp && s.State.Ended(): // and was not retried meanwhile
			return s, nil
		}
	}
	return s, q.explain(id, context.Cause(ctx))
}

// A ListFilter chooses commands of a queue. The zero value chooses all.
type ListFilter struct {
	States []State  // any of them; none means all
	Keys   []string // any of them; none means all
	Types  []string // as the codec calls them, any of them; none means all
}

func (f *ListFilter) matches(s *Status) bool {
	return chosen(f.States, s.State) && chosen(f.Keys, s.Key) && chosen(f.Types, s.Type)
}

func chosen[T comparable](from []T, v T) bool { return len(from) == 0 || slices.Contains(from, v) }

// List yields the commands that f chooses: first those that are not finished, in
// the order in which they were enqueued, then the finished ones of the queue's
// retention in the order in which they finished. To find the former it reads
// what has happened since the last checkpoint of a worker; the latter are looked
// for among all events since they are kept.
func (q *Queue) List(ctx context.Context, f ListFilter) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		if err := q.list(ctx, &f, func(s Status) bool { return yield(s, nil) }); err != nil {
			yield(Status{}, err)
		}
	}
}

func (q *Queue) list(ctx context.Context, f *ListFilter, yield func(Status) bool) error {
	b, err := q.survey(ctx)
	if err != nil {
		return err
	}
	show := func(id string, at eventstore.Version) (more bool, err error) {
		s, err := q.Get(ctx, id)
		if errors.Is(err, ErrNotQueued) || s.State.Finished() != (at > 0) || at > 0 && s.Version != at {
			return true, nil // it has changed, and comes elsewhere or not at all
		}
		return err == nil && (!f.matches(&s) || yield(s)), err
	}
	if len(f.States) == 0 || slices.ContainsFunc(f.States, func(s State) bool { return !s.Finished() }) {
		for _, it := range b.sorted() {
			if more, err := show(it.id, 0); err != nil || !more {
				return err
			}
		}
	}
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, State.Finished) {
		return nil
	}
	for m, err := range q.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{After: b.kept, Filter: q.filter(typeDone, typeFailed, typeDropped)}) {
		if err != nil || m.Kind == eventstore.MessageCaughtUp {
			return err
		}
		if m.Kind != eventstore.MessageEvent {
			continue
		}
		_, id := eventstore.SplitStream(m.Event.Stream)
		if more, err := show(id, m.Event.Version); err != nil || !more {
			return err
		}
	}
	return context.Cause(ctx)
}
