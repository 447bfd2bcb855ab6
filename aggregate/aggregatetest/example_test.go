package aggregatetest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/foldstream/foldstream/aggregate/aggregatetest"
)

// An account is a domain of one file.
type (
	accountEvent interface{ isAccount() }
	deposited    struct{ Cents int64 }
	withdrawn    struct{ Cents int64 }

	account struct{ cents int64 }

	withdraw struct {
		Account string
		Cents   int64
	}
)

func (deposited) isAccount() {}
func (withdrawn) isAccount() {}

var errTooLittle = errors.New("there is too little in the account")

func (a account) Evolve(e accountEvent) account {
	switch e := e.(type) {
	case deposited:
		a.cents += e.Cents
	case withdrawn:
		a.cents -= e.Cents
	}
	return a
}

func (a account) Withdraw(c withdraw) ([]accountEvent, error) {
	if c.Cents > a.cents {
		return nil, errTooLittle
	}
	return []accountEvent{withdrawn{c.Cents}}, nil
}

var accounts = aggregatetest.For(aggregatetest.On(account.Withdraw))

// The third line expects something wrong, to show what a test says then.
func Example() {
	var t testing.TB = printing{} // in a test, its t

	accounts.Given(deposited{500}).When(t, withdraw{"a", 200}).Then(withdrawn{200})
	accounts.Given(deposited{500}, withdrawn{400}).When(t, withdraw{"a", 200}).Refused(errTooLittle)
	accounts.Given(deposited{500}).When(t, withdraw{"a", 200}).Then(withdrawn{300})
	// Output:
	// aggregatetest_test.account decides otherwise
	//   given
	//     aggregatetest_test.deposited{Cents: 500}
	//   in the state
	//     aggregatetest_test.account{cents: 500}
	//   when
	//     aggregatetest_test.withdraw{Account: "a", Cents: 200}
	//   expected
	//     aggregatetest_test.withdrawn{Cents: 300}
	//   got
	//     aggregatetest_test.withdrawn{Cents: 200}
	//   because
	//     event 1, Cents is 200 instead of 300
}

// printing is a testing.TB for examples, which have none.
type printing struct{ testing.TB }

func (printing) Helper()           {}
func (printing) Cleanup(func())    {}
func (printing) Error(args ...any) { fmt.Print(args...) }
