// Package eventstoretest says in runnable clauses what every
// [eventstore.Store] must keep, measures stores, and makes them fail on
// purpose.
//
// A store's own tests call [Run]. The clauses rely on the port alone: on fresh
// stream names rather than an empty store, and on positions that grow rather
// than count. What only some stores promise is asked for in a [Suite].
package eventstoretest

import (
	"testing"

	"github.com/foldstream/foldstream/eventstore"
)

// A Suite says how to open the store under test and what it promises beyond
// the port.
type Suite struct {
	// Open returns a store for one clause and arranges for its end with
	// t.Cleanup. The clauses run in parallel.
	Open func(t *testing.T) eventstore.Store

	// Reopen closes a store that Open returned and opens what it kept. When it
	// is nil the clauses about that are left out.
	Reopen func(t *testing.T, s eventstore.Store) eventstore.Store

	DensePositions bool // an empty store's positions are 1, 2, 3 …
	ContentTypes   bool // keeps content types other than JSON and octet-stream
	Conditional    bool // is an eventstore.Conditional
	MaxAppendSize  int  // what Open set; default eventstore.DefaultMaxAppendSize
}

// Run holds the stores that open returns against every clause of the port.
func Run(t *testing.T, open func(t *testing.T) eventstore.Store) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

type clause struct {
	rule string
	test func(t *testing.T, f *fixture)
}

type group struct {
	name    string
	clauses []clause
}

// Run runs every clause that applies.
func (s Suite) Run(t *testing.T) {
	if s.MaxAppendSize == 0 {
		s.MaxAppendSize = eventstore.DefaultMaxAppendSize
	}
	groups := []group{
		{"Append", appendClauses},
		{"Expected", expectedClauses},
		{"Read", readClauses},
		{"ReadAll", readAllClauses},
		{"Delete", deleteClauses},
		{"Metadata", metadataClauses},
		{"Subscribe", subscribeClauses},
		{"Concurrency", concurrencyClauses},
		{"Lifecycle", lifecycleClauses},
		{"Promises", promiseClauses},
	}
	if s.Conditional {
		groups = append(groups, group{"Query", queryClauses}, group{"AppendIf", conditionClauses})
	} else {
		groups = append(groups, group{"Conditional", unsupportedClauses})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.clauses {
				t.Run(c.rule, func(t *testing.T) {
					t.Parallel()
					c.test(t, newFixture(t, s))
				})
			}
		})
	}
}
