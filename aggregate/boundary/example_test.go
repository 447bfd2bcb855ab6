package boundary_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/foldstream/foldstream/aggregate/boundary"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A unique user name, claimed by many at once.
func ExampleExecute() {
	ctx := context.Background()
	b, err := boundary.New(memstore.New(nil), facts, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	claim := func(name, user string) error {
		_, err := boundary.Execute(ctx, b, "user-"+user, nameIsTaken(name), func(taken bool) ([]nameClaimed, error) {
			if taken {
				return nil, errors.New("the name is taken")
			}
			return []nameClaimed{{Name: name, User: user}}, nil
		})
		return err
	}
	var all sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		all.Go(func() { results[i] = claim("ada", fmt.Sprint(i)) })
	}
	all.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		}
	}
	fmt.Println(won, "of", len(results), "got the name")
	fmt.Println(claim("ada", "9"))
	fmt.Println(claim("bob", "9"))
	// Output:
	// 1 of 8 got the name
	// the name is taken
	// <nil>
}

// The seats of a course against a student's limit, behind a command bus.
func ExampleHandle() {
	ctx := context.Background()
	b, err := boundary.New(memstore.New(nil), facts, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	bus := command.NewBus(nil)
	command.Register(bus, boundary.Handle(b, enroll.about, enrolment.enroll))

	offer(ctx, b, "go", 2)
	for _, who := range []string{"ada", "ada", "bob", "eve"} {
		receipt, err := command.Send(ctx, bus, enroll{Course: "go", Student: who})
		fmt.Println(who, receipt.Version, err)
	}
	_, err = command.Send(ctx, bus, enroll{Course: "rust", Student: "eve"})
	fmt.Println("eve", err)
	// Output:
	// ada 2 <nil>
	// ada 0 the student is enrolled already
	// bob 3 <nil>
	// eve 0 the course is full
	// eve there is no such course: rust
}

// offer offers a course that does not exist yet.
func offer(ctx context.Context, b *boundary.Boundary, id string, seats int) {
	_, err := boundary.Execute(ctx, b, "course-"+id, seatsOf(id), func(before int) ([]fact, error) {
		if before > 0 {
			return nil, errors.New("it is offered already")
		}
		return []fact{courseOffered{Course: id, Seats: seats}}, nil
	})
	if err != nil {
		fmt.Println(err)
	}
}
