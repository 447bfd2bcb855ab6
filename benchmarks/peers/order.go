package main

import (
	"time"

	"github.com/foldstream/foldstream/benchmarks/race"
	"github.com/foldstream/foldstream/projection"
)

// The document of all contestants, with methods that msgp has generated.
//
//go:generate go run github.com/tinylib/msgp@v1.6.5 -file order.go -o order_msgp.go -io=false -tests=false

// The events are those of the race.
type (
	Placed    = race.Placed
	LineAdded = race.LineAdded
	Paid      = race.Paid
	Shipped   = race.Shipped
)

// Summary is the view of one order.
type Summary struct {
	Customer string    `msg:"customer"`
	Status   string    `msg:"status"`
	Last     string    `msg:"last"`
	Parcel   string    `msg:"parcel"`
	Lines    int64     `msg:"lines"`
	Quantity int64     `msg:"quantity"`
	Cents    int64     `msg:"cents"`
	Paid     int64     `msg:"paid"`
	Updated  time.Time `msg:"updated"`
}

func (s Summary) placed(e Placed, m projection.Meta) (Summary, error) {
	s.Customer, s.Status, s.Updated = e.Customer, "placed", m.Created
	return s, nil
}

func (s Summary) lineAdded(e LineAdded, m projection.Meta) (Summary, error) {
	s.Last, s.Updated = e.SKU, m.Created
	s.Lines++
	s.Quantity += e.Quantity
	s.Cents += e.Quantity * e.Cents
	return s, nil
}

func (s Summary) paid(e Paid, m projection.Meta) (Summary, error) {
	s.Status, s.Updated = "paid", m.Created
	s.Paid += e.Cents
	return s, nil
}

func (s Summary) shipped(e Shipped, m projection.Meta) (Summary, error) {
	s.Status, s.Parcel, s.Updated = "shipped", e.Parcel, m.Created
	return s, nil
}
