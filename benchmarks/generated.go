package main

import (
	"time"

	"github.com/foldstream/foldstream/projection"
)

// The same types with methods that msgp has generated, which package codec
// finds and uses.
//
//go:generate go run github.com/tinylib/msgp@v1.6.5 -file generated.go -o generated_msgp.go -unexported -io=false -tests=false

type fastLineAdded struct {
	Customer string `msg:"customer"`
	SKU      string `msg:"sku"`
	Name     string `msg:"name"`
	Quantity int64  `msg:"quantity"`
	Cents    int64  `msg:"cents"`
	Note     string `msg:"note"`
}

type fastSummary struct {
	Customer string    `msg:"customer"`
	Status   string    `msg:"status"`
	Last     string    `msg:"last"`
	Lines    int64     `msg:"lines"`
	Quantity int64     `msg:"quantity"`
	Cents    int64     `msg:"cents"`
	Updated  time.Time `msg:"updated"`
}

func (s fastSummary) lineAdded(e fastLineAdded, m projection.Meta) (fastSummary, error) {
	s.Customer, s.Status, s.Last, s.Updated = e.Customer, "open", e.SKU, m.Created
	s.Lines++
	s.Quantity += e.Quantity
	s.Cents += e.Quantity * e.Cents
	return s, nil
}
