package command

import (
	"cmp"
	"container/heap"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A board is what a worker knows of the commands that are not finished, and says
// which of them is to be tried next. No step takes longer when there are more of
// them, but for the logarithm. Whoever calls its methods holds mu.
type board struct {
	mu sync.Mutex

	worker, run string
	hold        bool // keys, see QueueOptions.HoldKeys
	room        int  // bytes of commands that may still be kept
	log         *slog.Logger

	names     map[string]string // of types, each once
	open      map[string]*item
	lanes     map[string]*lane
	line      line // what may be tried, now or later
	counts    [len(states)]int
	scheduled int // of the pending ones, those that wait for their time

	pos  eventstore.Position // all up to here has been seen
	kept eventstore.Position // finished commands up to here have been removed
	seen int                 // events of the queue since the last checkpoint
}

// An item is a command that is not finished.
type item struct {
	id, key  string
	kind     string              // as the codec calls its type
	version  eventstore.Version  // of its stream
	order    eventstore.Position // where it was enqueued, or by hand retried
	created  time.Time           // by the store's clock
	state    State
	attempts int
	due      time.Time // not before
	waits    bool      // for due, and takes its place among those of its key then

	held *eventstore.Recorded // its first event; nil if it is to be read

	claim     *claim // under way here
	contended bool   // somebody else was faster; what he did will be seen

	lane       *lane // of its key, when it has a place there
	prev, next *item
	at         time.Time // in line: not before
	index      int       // in line; -1 if it is not
}

// A lane has the commands of a key in their order.
type lane struct{ head, tail *item }

// board returns an empty one. Who only looks has no run, and keeps no commands.
func (q *Queue) board(run string) *board {
	b := &board{
		worker: q.opts.Worker, run: run, hold: q.opts.HoldKeys, log: q.opts.Logger,
		names: make(map[string]string), open: make(map[string]*item), lanes: make(map[string]*lane),
	}
	if run != "" {
		b.room = q.opts.MaxHeld
	}
	return b
}

// apply takes in an event of the queue that was seen at a time. It reports
// whether the command has to be read from its stream, because it was finished
// and is not any more.
func (b *board) apply(r *eventstore.Recorded, now time.Time) (read bool) {
	b.seen++
	_, id := eventstore.SplitStream(r.Stream)
	it := b.open[id]
	switch {
	case it == nil && r.Type == typeEnqueued:
		b.settle(b.enqueued(id, r), now)
		return false
	case it == nil:
		return r.Type == typeRequeued
	case r.Version <= it.version:
		return false // done here
	case it.claim != nil && r.ID == it.claim.appending:
		it.claim.shown = &eventstore.Receipt{Stream: it.claim.stream, Version: r.Version, Position: r.Position}
		return false
	}
	if it.claim != nil {
		it.claim.lose()
		it.claim = nil
	}
	it.contended = false
	b.follow(it, r, now)
	b.settle(it, now)
	return false
}

// follow does to an item what an event of its stream says.
func (b *board) follow(it *item, r *eventstore.Recorded, now time.Time) {
	n, err := noteOf(r)
	if err != nil {
		b.log.Error("an event of the queue cannot be read and counts for its type alone", "error", err)
	}
	b.change(it, r.Type, &n, eventstore.Receipt{Version: r.Version, Position: r.Position}, r.Created, now)
}

// enqueued makes an item of the first event of a stream. It has no place yet.
// One whose ticket cannot be read is tried, so that it is seen to fail.
func (b *board) enqueued(id string, r *eventstore.Recorded) *item {
	t, err := ticketOf(r)
	if err != nil {
		b.log.Error("a queued command cannot be read and will fail", "error", err)
	}
	it := &item{id: strings.Clone(id), key: t.Key, kind: b.name(t.Type), version: r.Version, order: r.Position, created: r.Created, index: -1}
	if t.Due.After(r.Created) {
		it.due, it.waits = t.Due, true
	}
	if size := len(r.Data) + r.Metadata.Size(); size <= b.room {
		held := r.Clone()
		held.Stream = strings.Clone(r.Stream)
		it.held = &held
		b.room -= size
	}
	b.open[it.id] = it
	b.tally(it, 1)
	return it
}

// replay puts a command on the board whose events were read, if it is not
// finished and not there. It has no place yet.
func (b *board) replay(id string, events []eventstore.Recorded, now time.Time) {
	if len(events) == 0 || events[0].Type != typeEnqueued || b.open[id] != nil {
		return
	}
	it := b.enqueued(id, &events[0])
	for i := range events[1:] {
		b.follow(it, &events[1+i], now)
	}
	if it.state.Finished() {
		b.remove(it, now)
	}
}

// name returns a string that all commands of a type share.
func (b *board) name(kind string) string {
	if _, ok := b.names[kind]; !ok {
		b.names[kind] = kind
	}
	return b.names[kind]
}

func (b *board) tally(it *item, n int) {
	b.counts[it.state] += n
	if it.waits {
		b.scheduled += n
	}
}

// change does to an item what an event, seen at a time, says.
func (b *board) change(it *item, eventType string, n *note, at eventstore.Receipt, created, now time.Time) {
	it.version = at.Version
	state, ok := stateAfter[eventType]
	if !ok {
		return
	}
	b.tally(it, -1)
	if eventType == typeRequeued && (it.state.Finished() || it.state == StateDeadLettered && !b.hold) {
		it.order, it.created = at.Position, created // others have gone on
	}
	it.state, it.attempts, it.due, it.waits = state, n.Attempt, n.Due, false
	if state == StateRunning {
		it.due = b.expiry(n, now)
	}
	b.tally(it, 1)
}

// expiry returns when others may take over a command that was seen to be
// started at a time. Clocks of different machines are not compared.
func (b *board) expiry(n *note, seen time.Time) time.Time {
	if n.Worker == b.worker && n.Run != b.run {
		return seen // a predecessor, which is dead
	}
	lease := time.Duration(n.LeaseMS) * time.Millisecond
	return seen.Add(lease + lease/3)
}

// settle gives an item the place that its state asks for.
func (b *board) settle(it *item, now time.Time) {
	switch {
	case it.state.Finished():
		b.remove(it, now)
		return
	case it.state == StateDeadLettered && !b.hold:
		b.leave(it, now)
	case it.key != "" && it.lane == nil && !it.waits:
		b.enter(it)
	}
	b.queue(it, now)
}

// queue puts an item in line, if it may be tried some time without anything
// else happening.
func (b *board) queue(it *item, now time.Time) {
	may := it.claim == nil && !it.contended && it.state != StateDeadLettered && (it.lane == nil || it.lane.head == it)
	if !may {
		if it.index >= 0 {
			heap.Remove(&b.line, it.index)
		}
		return
	}
	it.at = it.due
	if it.at.Before(now) {
		it.at = now // first come, first served
	}
	if it.index >= 0 {
		heap.Fix(&b.line, it.index)
	} else {
		heap.Push(&b.line, it)
	}
}

// take returns the next command that is to be tried now, or nil, and takes it out of line.
func (b *board) take(now time.Time) *item {
	for len(b.line) > 0 && !b.line[0].at.After(now) {
		it := heap.Pop(&b.line).(*item)
		if !it.waits {
			return it
		}
		b.tally(it, -1)
		it.waits = false
		b.tally(it, 1)
		b.settle(it, now)
	}
	return nil
}

// enter gives an item its place among those of its key: one that has begun is
// before all others, and one that was scheduled before what was enqueued after
// its time.
func (b *board) enter(it *item) {
	l := b.lanes[it.key]
	if l == nil {
		l = &lane{}
		b.lanes[it.key] = l
	}
	was := l.head
	if it.state != StatePending {
		l.insert(it, nil)
	} else {
		after := l.tail
		for after != nil && it.due.Before(after.created) && !it.due.IsZero() && after.untouched() {
			after = after.prev
		}
		l.insert(it, after)
	}
	if was != nil && was != l.head && was.index >= 0 {
		heap.Remove(&b.line, was.index)
	}
}

// untouched reports whether nobody has tried the command, as far as is known.
func (it *item) untouched() bool {
	return it.state == StatePending && it.claim == nil && !it.contended
}

func (l *lane) insert(it, after *item) {
	it.lane, it.prev = l, after
	if after == nil {
		it.next, l.head = l.head, it
	} else {
		it.next, after.next = after.next, it
	}
	if it.next == nil {
		l.tail = it
	} else {
		it.next.prev = it
	}
}

// leave takes an item out of those of its key, and lets the next one go.
func (b *board) leave(it *item, now time.Time) {
	l := it.lane
	if l == nil {
		return
	}
	wasHead := l.head == it
	if it.prev == nil {
		l.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.lane, it.prev, it.next = nil, nil, nil
	switch {
	case l.head == nil:
		delete(b.lanes, it.key)
	case wasHead:
		b.queue(l.head, now)
	}
}

func (b *board) remove(it *item, now time.Time) {
	b.leave(it, now)
	if it.index >= 0 {
		heap.Remove(&b.line, it.index)
	}
	if it.held != nil {
		b.room += len(it.held.Data) + it.held.Metadata.Size()
		it.held = nil
	}
	b.tally(it, -1)
	delete(b.open, it.id)
}

// sorted returns all items in the order in which they were enqueued.
func (b *board) sorted() []*item {
	all := make([]*item, 0, len(b.open))
	for _, it := range b.open {
		all = append(all, it)
	}
	slices.SortFunc(all, func(a, c *item) int { return cmp.Compare(a.order, c.order) })
	return all
}

// A line is a heap of items by time, then in the order in which they were enqueued.
type line []*item

func (l line) Len() int { return len(l) }

func (l line) Less(i, j int) bool {
	if c := l[i].at.Compare(l[j].at); c != 0 {
		return c < 0
	}
	return l[i].order < l[j].order
}

func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

// Push implements [heap.Interface].
func (l *line) Push(x any) {
	it := x.(*item)
	it.index = len(*l)
	*l = append(*l, it)
}

// Pop implements [heap.Interface].
func (l *line) Pop() any {
	last := len(*l) - 1
	it := (*l)[last]
	(*l)[last], *l = nil, (*l)[:last]
	it.index = -1
	return it
}
