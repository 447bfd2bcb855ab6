package esdbstore_test

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

func ExampleOpen() {
	// Nothing is dialled yet: the first call connects.
	store, err := esdbstore.Open("esdb://127.0.0.1:2113?tls=false", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()

	_, err = esdbstore.Open("esdb://admin:changeit@127.0.0.1:2113?tsl=false", nil)
	fmt.Println(err)
	// Output: esdbstore: connection string: there is no setting "tsl"
}

func ExampleGroup_Consume() {
	ctx := context.Background()
	store, err := esdbstore.Open("esdb://admin:changeit@eventstore.example.org", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	group := store.Group("", "mailer") // of all streams
	_ = group.Create(ctx, &esdbstore.GroupOptions{
		Filter:   eventstore.Filter{Types: []string{"order.placed"}},
		Strategy: esdbstore.Pinned,
	})
	err = group.Consume(ctx, func(ctx context.Context, d esdbstore.Delivery) error {
		if len(d.Event.Data) == 0 {
			return esdbstore.Park(fmt.Errorf("order %s has no data", d.Event.Stream))
		}
		return sendMail(ctx, d.Event) // an error: the event comes again
	}, nil)
	if err != nil {
		fmt.Println(err)
	}
}

func sendMail(context.Context, eventstore.Recorded) error { return nil }
