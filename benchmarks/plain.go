package main

import (
	"time"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
)

const lineAddedName = "order.line_added"

// lineAdded is a typical event, about 200 bytes as MessagePack, as most users
// write one.
type lineAdded struct {
	Customer string `msgpack:"customer"`
	SKU      string `msgpack:"sku"`
	Name     string `msgpack:"name"`
	Quantity int64  `msgpack:"quantity"`
	Cents    int64  `msgpack:"cents"`
	Note     string `msgpack:"note"`
}

// summary is a typical view, about 110 bytes as MessagePack.
type summary struct {
	Customer string    `msgpack:"customer"`
	Status   string    `msgpack:"status"`
	Last     string    `msgpack:"last"`
	Lines    int64     `msgpack:"lines"`
	Quantity int64     `msgpack:"quantity"`
	Cents    int64     `msgpack:"cents"`
	Updated  time.Time `msgpack:"updated"`
}

func (s summary) lineAdded(e lineAdded, m projection.Meta) (summary, error) {
	s.Customer, s.Status, s.Last, s.Updated = e.Customer, "open", e.SKU, m.Created
	s.Lines++
	s.Quantity += e.Quantity
	s.Cents += e.Quantity * e.Cents
	return s, nil
}

// kind is a pair of Go types for the same events and documents.
type kind struct {
	projection func(projection.ViewStore) *projection.Projection
	lines      func(document []byte) (int64, error)
}

var kinds = map[string]kind{
	"plain":     kindOf(summary.lineAdded, func(s *summary) int64 { return s.Lines }),
	"generated": kindOf(fastSummary.lineAdded, func(s *fastSummary) int64 { return s.Lines }),
}

func kindOf[T, E any](fold func(T, E, projection.Meta) (T, error), lines func(*T) int64) kind {
	events := codec.New(codec.Type[E](lineAddedName))
	return kind{
		projection: func(views projection.ViewStore) *projection.Projection {
			docs := projection.NewCollection[T](views, view, codec.Msgpack, nil)
			return projection.New(view, events, projection.On(docs, fold))
		},
		lines: func(document []byte) (int64, error) {
			doc := new(T)
			err := codec.Msgpack.Unmarshal(document, doc)
			return lines(doc), err
		},
	}
}
