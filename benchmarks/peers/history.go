package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/google/uuid"
	"github.com/tinylib/msgp/msgp"

	"github.com/foldstream/foldstream/benchmarks/race"
	"github.com/foldstream/foldstream/projection"
)

// stored is one event of the history, encoded as all contestants store it.
type stored struct {
	order   int
	version int // of the order, from 1
	name    string
	data    []byte
}

// history is the same for all contestants.
type history struct {
	events []stored
	ids    []uuid.UUID // by order
	want   map[string]Summary
	bytes  int // of the events' data
}

// makeHistory interleaves orders at random: each is placed, gets lines, and is
// paid and shipped with its last events.
func makeHistory(events, perOrder int) (*history, error) {
	rnd := rand.New(rand.NewPCG(1, 2)) // always the same
	orders := (events + perOrder - 1) / perOrder
	h := &history{want: make(map[string]Summary, orders)}
	left := make([]int, 0, events) // which order each event is of
	for order := range orders {
		h.ids = append(h.ids, uuid.NewSHA1(uuid.NameSpaceOID, strconv.AppendInt(nil, int64(order), 10)))
		for range min(perOrder, events-len(left)) {
			left = append(left, order)
		}
	}
	rnd.Shuffle(len(left), func(i, k int) { left[i], left[k] = left[k], left[i] })
	versions := make([]int, orders)
	for i, order := range left {
		versions[order]++
		e := stored{order: order, version: versions[order]}
		id := h.ids[order].String()
		s, err := e.fill(h.want[id], i, perOrder)
		if err != nil {
			return nil, err
		}
		h.want[id] = s
		h.events = append(h.events, e)
		h.bytes += len(e.data)
	}
	return h, nil
}

// fill makes the event's data and folds it.
func (e *stored) fill(s Summary, i, perOrder int) (next Summary, err error) {
	var v msgp.Marshaler
	switch e.version {
	case 1:
		p := race.NewPlaced(e.order)
		e.name, v = "Placed", &p
		next, err = s.placed(p, projection.Meta{})
	case perOrder:
		p := race.NewShipped(i)
		e.name, v = "Shipped", &p
		next, err = s.shipped(p, projection.Meta{})
	case perOrder - 1:
		p := race.NewPaid(i, s.Cents)
		e.name, v = "Paid", &p
		next, err = s.paid(p, projection.Meta{})
	default:
		l := race.NewLineAdded(i)
		e.name, v = "LineAdded", &l
		next, err = s.lineAdded(l, projection.Meta{})
	}
	if err != nil {
		return next, err
	}
	e.data, err = v.MarshalMsg(nil)
	return next, err
}

// check compares documents with what they must be.
func (h *history) check(documents func(yield func(id string, data []byte) error) error) error {
	n := 0
	err := documents(func(id string, data []byte) error {
		var s Summary
		if _, err := s.UnmarshalMsg(data); err != nil {
			return err
		}
		want := h.want[id]
		if want.Updated = s.Updated; s != want || s.Updated.IsZero() { // every contestant has times of its own
			return fmt.Errorf("order %s is %+v, not %+v", id, s, want)
		}
		n++
		return nil
	})
	if err == nil && n != len(h.want) {
		err = fmt.Errorf("the view has %d orders, there are %d", n, len(h.want))
	}
	return err
}
