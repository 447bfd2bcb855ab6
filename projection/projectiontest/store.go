package projectiontest

import (
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// viewStore is embedded under a name that users do not see.
type viewStore = projection.ViewStore

// A Store is a [projection.ViewStore] that [Scenario.Then] empties before each
// time it builds the view.
type Store struct {
	viewStore
	open    func() projection.ViewStore
	virtual bool // time may be, because nothing leaves the process
}

// NewStore returns a store in memory.
func NewStore() *Store {
	s := &Store{open: func() projection.ViewStore { return memview.New() }, virtual: true}
	s.begin()
	return s
}

// NewStoreOf returns a store on top of others: open returns one that is empty
// each time it is called, such as one in Redis with another prefix. Handlers
// that look at the clock are found less surely than with [NewStore], because
// time is real.
func NewStoreOf(open func() projection.ViewStore) *Store {
	s := &Store{open: open}
	s.begin()
	return s
}

// begin starts with an empty store.
func (s *Store) begin() { s.viewStore = s.open() }
