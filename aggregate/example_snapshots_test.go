package aggregate_test

import (
	"context"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// With snapshots, an aggregate that is not in memory is read from the last one
// on. The state needs nothing for that, its fields may be unexported.
func ExampleSnapshotOptions() {
	store := memstore.New(nil)
	accounts := aggregate.NewRepository[account](store, "account", events, &aggregate.Options{
		Snapshots: &aggregate.SnapshotOptions{
			Store: aggregate.NewStoreSnapshots(store, nil), // or redissnapshot.New(rdb, nil)
			Every: 500,                                     // events
			Age:   24 * time.Hour,
		},
	})
	ctx := context.Background()
	_, err := accounts.Execute(ctx, "42", func(a account) ([]event, error) { return a.Open(open{"42", "ada"}) })
	fmt.Println(err)
	version, err := accounts.Snapshot(ctx, "42") // now, rather than when it is due
	fmt.Println(version, err)
	// Output:
	// <nil>
	// 1 <nil>
}

func adasAccount() *aggregate.Repository[account, event] {
	accounts := aggregate.NewRepository[account](memstore.New(nil), "account", events, nil)
	_, err := accounts.Execute(context.Background(), "42", func(account) ([]event, error) {
		return []event{opened{"ada"}, deposited{500}, withdrawn{120}}, nil
	})
	if err != nil {
		panic(err)
	}
	return accounts
}

func ExampleAtVersion() {
	accounts := adasAccount()
	ctx := context.Background()
	then, err := accounts.Load(ctx, "42", aggregate.AtVersion(2)) // or aggregate.AtTime(lastFriday)
	fmt.Println(then.State.balance, err)
	_, err = accounts.Load(ctx, "42", aggregate.AtVersion(9))
	fmt.Println(err)
	// Output:
	// 500 <nil>
	// aggregate account-42 is at version 3 and has no version 9 yet
}

func ExampleRepository_History() {
	for step, err := range adasAccount().History(context.Background(), "42") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %T%+v: %d cents\n", step.Recorded.Version, step.Event, step.Event, step.State.balance)
	}
	// Output:
	// 1 aggregate_test.opened{Owner:ada}: 0 cents
	// 2 aggregate_test.deposited{Cents:500}: 500 cents
	// 3 aggregate_test.withdrawn{Cents:120}: 380 cents
}

func ExampleRepository_Diff() {
	changes, err := adasAccount().Diff(context.Background(), "42", 1, 3)
	for _, c := range changes {
		fmt.Println(c)
	}
	fmt.Println(err)
	// Output:
	// balance: 0 -> 380
	// events: 1 -> 3
	// <nil>
}
