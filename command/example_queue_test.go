package command_test

import (
	"context"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

type Remind struct {
	Order string
	Text  string
}

func (r Remind) AggregateID() string { return r.Order } // reminders of an order keep their order

func remind(_ context.Context, r Remind) (eventstore.Receipt, error) {
	fmt.Println("remind", r.Order, r.Text)
	return eventstore.Receipt{}, nil
}

func ExampleQueue() {
	ctx := context.Background()
	store := memstore.New(nil)
	bus := command.NewBus(nil)
	command.Register(bus, remind)
	types := codec.New(codec.Type[Remind]("order.remind"))

	jobs := command.NewQueue("jobs", store, types, bus, nil)
	if err := jobs.Check(Remind{}); err != nil { // at start-up
		panic(err)
	}

	// Any process may put commands there. It need not wait, and may.
	id, err := command.Enqueue(ctx, jobs, Remind{"42", "pay"}, command.WithID("request-1"))
	if err != nil {
		panic(err)
	}
	_, err = command.Enqueue(ctx, jobs, Remind{"42", "pay now"}, command.Delay(7*24*time.Hour))
	if err != nil {
		panic(err)
	}

	// Any number of processes carry them out.
	work, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- jobs.Run(work) }()

	status, err := jobs.Await(ctx, id)
	fmt.Println(status.ID, status.State, status.Attempts, err)

	stop() // what is under way comes to its end
	fmt.Println("stopped", <-stopped)
	stats, err := jobs.Stats(ctx)
	fmt.Println("scheduled", stats.Scheduled, err)
	// Output:
	// remind 42 pay
	// request-1 done 1 <nil>
	// stopped <nil>
	// scheduled 1 <nil>
}
