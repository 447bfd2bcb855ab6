package redisview_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
	"github.com/foldstream/foldstream/query"
)

// What a user writes: facts, commands and state in plain Go.
type (
	orderEvent  interface{ isOrder() }
	orderPlaced struct {
		Customer string
		Cents    int64
	}
	orderPaid struct{ Cents int64 }

	place struct {
		ID, Customer string
		Cents        int64
	}
	pay struct{ ID string }

	order struct {
		placed, paid bool
		cents        int64
	}
)

func (orderPlaced) isOrder() {}
func (orderPaid) isOrder()   {}

func (c place) AggregateID() string { return c.ID }
func (c pay) AggregateID() string   { return c.ID }

func (o order) Evolve(e orderEvent) order {
	switch e := e.(type) {
	case orderPlaced:
		o.placed, o.cents = true, e.Cents
	case orderPaid:
		o.paid = true
	}
	return o
}

func (o order) Place(c place) ([]orderEvent, error) {
	if o.placed {
		return nil, errors.New("order: already placed")
	}
	return []orderEvent{orderPlaced{c.Customer, c.Cents}}, nil
}

func (o order) Pay(pay) ([]orderEvent, error) {
	if !o.placed || o.paid {
		return nil, errors.New("order: nothing to pay")
	}
	return []orderEvent{orderPaid{o.cents}}, nil
}

// And a view of them.
type (
	orderSummary struct {
		Customer, Status string
	}
	summaryOf struct{ ID string }
)

func (s orderSummary) placed(e orderPlaced, _ projection.Meta) (orderSummary, error) {
	return orderSummary{e.Customer, "placed"}, nil
}

func (s orderSummary) paid(orderPaid, projection.Meta) (orderSummary, error) {
	s.Status = "paid"
	return s, nil
}

func Example() {
	server := miniredis.NewMiniRedis() // a real one in production
	if err := server.Start(); err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()

	events := codec.New(codec.Type[orderPlaced]("order.placed"), codec.Type[orderPaid]("order.paid"))
	store := memstore.New(nil) // logstore.Open("data/events", nil)

	orders := aggregate.NewRepository[order](store, "order", events, nil)
	commands := command.NewBus(nil)
	command.Register(commands, aggregate.Handle(orders, order.Place))
	command.Register(commands, aggregate.Handle(orders, order.Pay))

	summaries := redisview.NewCollection[orderSummary](rdb, "order-summary", nil)
	view := projection.New("order-summary", events,
		projection.On(summaries, orderSummary.placed),
		projection.On(summaries, orderSummary.paid))
	runner := projection.NewRunner(store, nil, view)

	queries := query.NewBus(nil)
	query.Register(queries, func(ctx context.Context, q summaryOf) (orderSummary, error) {
		return summaries.Get(ctx, q.ID)
	})

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- runner.Run(ctx) }()

	_, err := command.Send(ctx, commands, place{ID: "42", Customer: "ada", Cents: 450})
	fmt.Println("place:", err)
	receipt, err := command.Send(ctx, commands, pay{ID: "42"}, command.WithID("request-7"))
	fmt.Println("pay:", receipt.Version, receipt.Repeated, err)
	receipt, err = command.Send(ctx, commands, pay{ID: "42"}, command.WithID("request-7"))
	fmt.Println("again:", receipt.Version, receipt.Repeated, err)
	_, err = command.Send(ctx, commands, pay{ID: "42"})
	fmt.Println("refused:", err)

	s, err := query.Ask[orderSummary](ctx, queries, summaryOf{"42"}, query.After(receipt))
	fmt.Println("summary:", s.Customer, s.Status, err)

	cancel()
	fmt.Println("stopped:", <-done)
	// Output:
	// place: <nil>
	// pay: 2 false <nil>
	// again: 2 true <nil>
	// refused: order: nothing to pay
	// summary: ada paid <nil>
	// stopped: <nil>
}
