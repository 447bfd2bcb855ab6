package command

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// The types of a queue's events. The data of the first is the command, as the
// codec encoded it, and a ticket in the metadata says the rest; the data of the
// others is a note. The form of both is JSON and knows nothing of the codec.
const (
	typeEnqueued     = "command.enqueued"
	typeStarted      = "command.started" // also renews the lease
	typeRetrying     = "command.retrying"
	typeDone         = "command.done"
	typeFailed       = "command.failed"
	typeDeadLettered = "command.deadlettered"
	typeRequeued     = "command.requeued"
	typeDropped      = "command.dropped"
)

// keyTicket is the metadata key of the ticket.
const keyTicket = "queued"

// A ticket says how a command is to be decoded and when it is to be carried
// out.
type ticket struct {
	Type        string              `json:"type"` // as the codec calls it
	ContentType string              `json:"content_type,omitempty"`
	Key         string              `json:"key,omitempty"`     // empty: in no order
	Due         time.Time           `json:"due,omitzero"`      // not before
	Metadata    eventstore.Metadata `json:"metadata,omitzero"` // of the origin
}

// A note is the data of an event of a queued command.
type note struct {
	Worker  string              `json:"worker,omitempty"`
	Run     string              `json:"run,omitempty"` // tells one life of a worker from the next
	Attempt int                 `json:"attempt,omitempty"`
	LeaseMS int64               `json:"lease_ms,omitempty"`
	Due     time.Time           `json:"due,omitzero"`
	Outcome *Outcome            `json:"outcome,omitempty"`
	Reason  string              `json:"reason,omitempty"`
	Receipt *eventstore.Receipt `json:"receipt,omitempty"`
}

// maxReason is how many bytes of an error are kept.
const maxReason = 4096

// reasonOf returns the text of an error, cut if it is long.
func reasonOf(err error) string {
	text := err.Error()
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return text
}

func (n *note) event(eventType string) eventstore.Event {
	data, _ := json.Marshal(n) // text and numbers
	return eventstore.Event{ID: eventstore.NewID(), Type: eventType, ContentType: eventstore.ContentTypeJSON, Data: data}
}

func noteOf(r *eventstore.Recorded) (n note, err error) {
	if len(r.Data) > 0 {
		err = json.Unmarshal(r.Data, &n)
	}
	if err != nil {
		err = fmt.Errorf("command: event %d of stream %q, type %q, cannot be read: %w", r.Version, r.Stream, r.Type, err)
	}
	return n, err
}

// enqueuedEvent returns the first event of a command. Its id depends on the
// stream alone, so that a store recognizes who enqueues again.
func enqueuedEvent(stream string, encoded eventstore.Event, o *eventstore.Origin, t *ticket) eventstore.Event {
	t.Type, t.ContentType, t.Metadata = encoded.Type, encoded.ContentType, o.Metadata
	data, _ := json.Marshal(t) // strings
	pairs := []string{keyTicket, string(data), eventstore.KeyCommandID, o.CommandID}
	if o.CorrelationID != "" {
		pairs = append(pairs, eventstore.KeyCorrelationID, o.CorrelationID)
	}
	if o.CausationID != "" {
		pairs = append(pairs, eventstore.KeyCausationID, o.CausationID)
	}
	return eventstore.Event{
		ID: eventstore.DeriveID(stream, typeEnqueued), Type: typeEnqueued, ContentType: encoded.ContentType, Data: encoded.Data,
		Metadata: encoded.Metadata.Merge(eventstore.NewMetadata(pairs...)),
	}
}

func ticketOf(r *eventstore.Recorded) (t ticket, err error) {
	if err = json.Unmarshal([]byte(r.Metadata.Get(keyTicket)), &t); err != nil {
		err = fmt.Errorf("command: event %d of stream %q has no metadata %q that can be read: %w", r.Version, r.Stream, keyTicket, err)
	}
	return t, err
}

// open returns the command that the first event of its stream holds, and what
// caused it.
func (q *Queue) open(r *eventstore.Recorded) (cmd any, o eventstore.Origin, err error) {
	t, err := ticketOf(r)
	if err != nil {
		return nil, o, err
	}
	o = eventstore.Origin{
		CommandID: r.Metadata.Get(eventstore.KeyCommandID), CorrelationID: r.Metadata.Get(eventstore.KeyCorrelationID),
		CausationID: r.Metadata.Get(eventstore.KeyCausationID), Metadata: t.Metadata,
	}
	encoded := *r
	encoded.Type, encoded.ContentType = t.Type, t.ContentType
	cmd, err = q.codec.Decode(encoded)
	if several, ok := cmd.(eventstore.Several); ok && err == nil {
		if len(several) != 1 {
			return nil, o, fmt.Errorf("command: %q in stream %q stands for %d commands today; an upcaster of a command must return one", t.Type, r.Stream, len(several))
		}
		cmd = several[0]
	}
	return cmd, o, err
}
