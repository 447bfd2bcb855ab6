package main

import (
	"time"

	"github.com/foldstream/foldstream/projection"
)

// The events and the document of all contestants, with methods that msgp has
// generated.
//
//go:generate go run github.com/tinylib/msgp@v1.6.5 -file order.go -o order_msgp.go -io=false -tests=false

// Placed begins an order.
type Placed struct {
	Customer string `msg:"customer"`
	Address  string `msg:"address"`
	Note     string `msg:"note"`
}

// LineAdded is the most frequent event.
type LineAdded struct {
	SKU      string `msg:"sku"`
	Name     string `msg:"name"`
	Quantity int64  `msg:"quantity"`
	Cents    int64  `msg:"cents"`
	Note     string `msg:"note"`
}

// Paid tells how.
type Paid struct {
	Method    string `msg:"method"`
	Reference string `msg:"reference"`
	Cents     int64  `msg:"cents"`
	Note      string `msg:"note"`
}

// Shipped ends an order.
type Shipped struct {
	Carrier string `msg:"carrier"`
	Parcel  string `msg:"parcel"`
	Note    string `msg:"note"`
}

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
