package race

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The events of all contestants, about 200 bytes each, with methods that msgp
// has generated and with names for other encoders.
//
//go:generate go run github.com/tinylib/msgp@v1.6.5 -file order.go -o order_msgp.go -io=false -tests=false

// Placed begins an order.
type Placed struct {
	Customer string `json:"customer" msg:"customer" msgpack:"customer"`
	Address  string `json:"address" msg:"address" msgpack:"address"`
	Note     string `json:"note" msg:"note" msgpack:"note"`
}

// LineAdded is the most frequent event.
type LineAdded struct {
	SKU      string `json:"sku" msg:"sku" msgpack:"sku"`
	Name     string `json:"name" msg:"name" msgpack:"name"`
	Quantity int64  `json:"quantity" msg:"quantity" msgpack:"quantity"`
	Cents    int64  `json:"cents" msg:"cents" msgpack:"cents"`
	Note     string `json:"note" msg:"note" msgpack:"note"`
}

// Paid tells how.
type Paid struct {
	Method    string `json:"method" msg:"method" msgpack:"method"`
	Reference string `json:"reference" msg:"reference" msgpack:"reference"`
	Cents     int64  `json:"cents" msg:"cents" msgpack:"cents"`
	Note      string `json:"note" msg:"note" msgpack:"note"`
}

// Shipped ends an order.
type Shipped struct {
	Carrier string `json:"carrier" msg:"carrier" msgpack:"carrier"`
	Parcel  string `json:"parcel" msg:"parcel" msgpack:"parcel"`
	Note    string `json:"note" msg:"note" msgpack:"note"`
}

//msgp:ignore Order Place AddLine

// Event is one of the four.
type Event interface{ isOrder() }

func (Placed) isOrder()    {}
func (LineAdded) isOrder() {}
func (Paid) isOrder()      {}
func (Shipped) isOrder()   {}

// PointerTo returns a pointer to a copy of the event, as other libraries want
// it.
func PointerTo(e Event) any {
	switch e := e.(type) {
	case Placed:
		return &e
	case LineAdded:
		return &e
	case Paid:
		return &e
	case Shipped:
		return &e
	}
	return nil
}

// Order is the state of every contestant's aggregate, comparable so that it
// can be checked.
type Order struct {
	Customer                     string
	Lines, Quantity, Cents, Paid int64
	Open                         bool
}

// OnPlaced returns the order after the event.
func (o Order) OnPlaced(e Placed) Order {
	o.Customer, o.Open = e.Customer, true
	return o
}

// OnLineAdded returns the order after the event.
func (o Order) OnLineAdded(e LineAdded) Order {
	o.Lines++
	o.Quantity += e.Quantity
	o.Cents += e.Quantity * e.Cents
	return o
}

// OnPaid returns the order after the event.
func (o Order) OnPaid(e Paid) Order {
	o.Paid += e.Cents
	return o
}

// OnShipped returns the order after the event.
func (o Order) OnShipped(Shipped) Order {
	o.Open = false
	return o
}

// Evolve is foldstream's fold.
func (o Order) Evolve(e Event) Order {
	switch e := e.(type) {
	case Placed:
		return o.OnPlaced(e)
	case LineAdded:
		return o.OnLineAdded(e)
	case Paid:
		return o.OnPaid(e)
	case Shipped:
		return o.OnShipped(e)
	}
	return o
}

// The refusals of every contestant.
var (
	ErrPlaced = errors.New("the order has been placed")
	ErrClosed = errors.New("the order is not open")
)

// CanPlace is the rule of the command that places an order.
func (o Order) CanPlace() error {
	if o.Customer != "" {
		return ErrPlaced
	}
	return nil
}

// CanAddLine is the rule of the command that adds a line.
func (o Order) CanAddLine() error {
	if !o.Open {
		return ErrClosed
	}
	return nil
}

// Place asks for an order.
type Place struct {
	ID string
	Placed
}

// AggregateID is foldstream's.
func (c Place) AggregateID() string { return c.ID }

// AddLine asks for a line of an order.
type AddLine struct {
	ID string
	LineAdded
}

// AggregateID is foldstream's.
func (c AddLine) AggregateID() string { return c.ID }

// Place decides.
func (o Order) Place(c Place) ([]Event, error) {
	if err := o.CanPlace(); err != nil {
		return nil, err
	}
	return []Event{c.Placed}, nil
}

// AddLine decides.
func (o Order) AddLine(c AddLine) ([]Event, error) {
	if err := o.CanAddLine(); err != nil {
		return nil, err
	}
	return []Event{c.LineAdded}, nil
}

var note = strings.Repeat("a note on the order. ", 6)

// What takes an allocation to make is made beforehand.
var customers, skus = numbered("customer-"), numbered("sku-")

func numbered(prefix string) []string {
	all := make([]string, 5000)
	for i := range all {
		all[i] = prefix + strconv.Itoa(i)
	}
	return all
}

// NewPlaced returns the ith event of its type, always the same.
func NewPlaced(i int) Placed {
	return Placed{Customer: customers[i%len(customers)], Address: "12 Harbour Lane, Bristol", Note: note}
}

// NewLineAdded returns the ith event of its type, always the same.
func NewLineAdded(i int) LineAdded {
	return LineAdded{
		SKU: skus[i%len(skus)], Name: "Assam, second flush, 250 g",
		Quantity: int64(1 + i%3), Cents: int64(100 + i%900), Note: note,
	}
}

// NewPaid returns the ith event of its type, always the same.
func NewPaid(i int, cents int64) Paid {
	return Paid{Method: "card", Reference: fmt.Sprintf("reference-%012d", i), Cents: cents, Note: note + "paid at once"}
}

// NewShipped returns the ith event of its type, always the same.
func NewShipped(i int) Shipped {
	return Shipped{Carrier: "a carrier of parcels", Parcel: fmt.Sprintf("parcel-%012d", i), Note: note + "left with a neighbour"}
}

// History returns n events of one order: it is placed and gets lines, of which
// every tenth event pays something; closed ends it with a shipment.
func History(n int, closed bool) []Event {
	events := make([]Event, n)
	for i := range events {
		switch {
		case i == 0:
			events[i] = NewPlaced(i)
		case closed && i == n-1:
			events[i] = NewShipped(i)
		case i%10 == 9:
			events[i] = NewPaid(i, int64(i))
		default:
			events[i] = NewLineAdded(i)
		}
	}
	return events
}

// Fold returns the state after events.
func Fold(events []Event) Order {
	var o Order
	for _, e := range events {
		o = o.Evolve(e)
	}
	return o
}
