package shred_test

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Registered is an event of a domain. It imports nothing.
type Registered struct {
	ID   string
	Name string `personal:"customer/ID" erased:"[erased]"`
	Plan string
}

func Example() {
	ctx := context.Background()
	keys := new(shred.Memory) // keydir.Open("data/keys", …) to keep them
	ring := shred.NewRing(keys, nil)
	events := codec.New(ring.Seal(), codec.Type[Registered]("customer.registered", codec.As(codec.JSON)))
	store := memstore.New(nil)

	e, err := events.Encode(Registered{ID: "ada", Name: "Ada Lovelace", Plan: "gold"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := store.Append(ctx, "customer-ada", eventstore.NoStream, e); err != nil {
		fmt.Println(err)
		return
	}
	show := func() {
		for rec, err := range store.Read(ctx, "customer-ada", eventstore.ReadOptions{}) {
			if err != nil {
				fmt.Println(err)
				return
			}
			event, err := events.Decode(rec)
			fmt.Printf("%+v %v\n", event, err)
		}
	}
	fmt.Printf("stored: %s\n", e.Data)
	show()
	fmt.Println("erase:", ring.Erase(ctx, "customer/ada"))
	show()
	_, err = events.Encode(Registered{ID: "ada", Name: "Ada Lovelace"})
	fmt.Println(err)
	// Output:
	// stored: {"ID":"ada","Name":"[erased]","Plan":"gold"}
	// {ID:ada Name:Ada Lovelace Plan:gold} <nil>
	// erase: <nil>
	// {ID:ada Name:[erased] Plan:gold} <nil>
	// codec: encode "customer.registered": shred: subject "customer/ada" is erased, so nothing more can be written about it; use another id, or admit it again if it came back
}
