package command

import (
	"context"
	"errors"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Retry has a worker try a command again soon, with its attempts counted anew:
// one that was dead-lettered, failed or dropped, or one that waits for its next
// try or its time. The reason is what came of it before, and stays. A command that
// runs or is done is a [*QueueStateError]. Any process may call it.
func (q *Queue) Retry(ctx context.Context, id string) error {
	return q.control(ctx, id, "retry", typeRequeued, &note{}, func(s *Status) bool {
		return s.State != StateRunning && s.State != StateDone
	})
}

// Drop gives up a command for ever, for a reason that [Queue.Get] shows. One that
// is done, has failed or was dropped is a [*QueueStateError]. One that is running
// may have its effect all the same: its context is canceled. Any process may call
// it.
func (q *Queue) Drop(ctx context.Context, id, reason string) error {
	outcome := Canceled
	return q.control(ctx, id, "drop", typeDropped, &note{Outcome: &outcome, Reason: reason}, func(s *Status) bool {
		return !s.State.Finished()
	})
}

// controlTries is how often a command is looked at anew that changes meanwhile.
const controlTries = 10

// control writes an event after the last one that allows it.
func (q *Queue) control(ctx context.Context, id, op, eventType string, n *note, allowed func(*Status) bool) error {
	e := n.event(eventType)
	for try := 1; ; try++ {
		s, err := q.Get(ctx, id)
		if err != nil {
			return err
		}
		if !allowed(&s) {
			return &QueueStateError{Queue: q.name, ID: id, Op: op, State: s.State}
		}
		_, err = q.store.Append(ctx, q.stream(id), eventstore.Exact(s.Version), e)
		if err == nil {
			return nil
		}
		if !errors.Is(err, eventstore.ErrConflict) || try == controlTries {
			return q.explain(id, err)
		}
	}
}

// QueueStats are the figures of a queue.
type QueueStats struct {
	Pending      int `json:"pending"`   // that wait for a worker, for others of their key or for their time
	Scheduled    int `json:"scheduled"` // of these, for their time
	Running      int `json:"running"`
	Retrying     int `json:"retrying"`
	DeadLettered int `json:"dead_lettered"`

	// OldestDue is how long the command that is next has waited for a worker. It is
	// known in a process that runs the queue.
	OldestDue time.Duration       `json:"oldest_due,omitempty"`
	Position  eventstore.Position `json:"position"` // up to which the figures are true

	// What the Run under way in this process has done; zero if there is none.
	Tries   uint64 `json:"tries,omitempty"`   // begun
	Done    uint64 `json:"done,omitempty"`    // commands done
	Failed  uint64 `json:"failed,omitempty"`  // commands answered with a no
	Retried uint64 `json:"retried,omitempty"` // tries that met trouble
	Dead    uint64 `json:"dead,omitempty"`    // commands dead-lettered
	Lost    uint64 `json:"lost,omitempty"`    // commands for which another worker was faster
}

// Stats returns the figures of the queue: at once in a process that runs it,
// elsewhere from what has happened since the last checkpoint of a worker.
func (q *Queue) Stats(ctx context.Context) (QueueStats, error) {
	if c := q.crew.Load(); c != nil {
		if s, ok := c.stats(); ok {
			return s, nil
		}
	}
	b, err := q.survey(ctx)
	if err != nil {
		return QueueStats{}, err
	}
	return b.stats(), nil
}

func (b *board) stats() QueueStats {
	return QueueStats{
		Pending: b.counts[StatePending], Scheduled: b.scheduled, Running: b.counts[StateRunning], Retrying: b.counts[StateRetrying],
		DeadLettered: b.counts[StateDeadLettered], Position: b.pos,
	}
}

func (c *crew) stats() (s QueueStats, ok bool) {
	b := c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.live {
		return s, false
	}
	s = b.stats()
	if len(b.line) > 0 {
		s.OldestDue = max(time.Since(b.line[0].at), 0)
	}
	s.Tries, s.Done, s.Failed, s.Retried, s.Dead, s.Lost = c.done[StateRunning], c.done[StateDone], c.done[StateFailed], c.done[StateRetrying], c.done[StateDeadLettered], c.lost
	return s, true
}
