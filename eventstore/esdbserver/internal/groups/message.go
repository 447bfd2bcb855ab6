package groups

import (
	"cmp"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A Delivery is an event on its way to a consumer.
type Delivery struct {
	Event      *eventstore.Recorded // nil when Link points to nothing that can be read
	Link       *eventstore.Recorded // the link that was resolved to Event, or the parked event
	RetryCount int                  // how often it was handed out before
}

// Original returns what the group read: the link if there is one. Its id is the
// one to acknowledge.
func (d *Delivery) Original() *eventstore.Recorded {
	if d.Link != nil {
		return d.Link
	}
	return d.Event
}

// A message is an event that the group has not dealt with yet. It is in
// exactly one place: read ahead, waiting to be handed out again, held by a
// consumer, or about to be parked.
type message struct {
	Delivery
	point  uint64 // version, on $all position; with replayOrder added for a replayed event
	before uint64 // the last point examined before this one
	bytes  int

	list         *list // of what is outstanding
	older, newer *message

	holder *Consumer
	sent   bool      // it left the holder's outbox
	given  time.Time // to the holder
	due    time.Time // zero when it cannot time out
	next   *message  // in flight with the same id

	park parking
}

// A parking says how a message is to be parked.
type parking struct {
	id     eventstore.ID // of the event, so that a repeated append is recognized
	added  time.Time
	reason string
}

// replayOrder is added to the points of replayed events, so that they come
// after all others that wait to be handed out again.
const replayOrder = 1 << 63

// A list holds the messages that are not dealt with in the order in which they
// were read. The zero list is empty.
type list struct{ first, last *message }

func (l *list) add(m *message) {
	m.list, m.older = l, l.last
	if l.last == nil {
		l.first = m
	} else {
		l.last.newer = m
	}
	l.last = m
}

func (l *list) remove(m *message) {
	if m.older == nil {
		l.first = m.newer
	} else {
		m.older.newer = m.newer
	}
	if m.newer == nil {
		l.last = m.older
	} else {
		m.newer.older = m.older
	}
	m.list, m.older, m.newer = nil, nil, nil
}

// insert puts m into messages that are ordered by point.
func insert(messages []*message, m *message) []*message {
	at, _ := slices.BinarySearchFunc(messages, m, func(a, b *message) int { return cmp.Compare(a.point, b.point) })
	return slices.Insert(messages, at, m)
}
