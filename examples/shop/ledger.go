package main

import (
	"context"
	"errors"

	"github.com/foldstream/foldstream/eventstore"
)

// Decided says that the line of an import with an id was decided. An aggregate
// remembers a command only if it led to events; a file that is imported again
// must also pass over lines that were refused or changed nothing, because by
// now they might do something.
type Decided struct {
	Accepted bool `msgpack:"accepted"`
}

// A ledger remembers the ids of lines that were decided, one stream for each.
type ledger struct {
	store  eventstore.Store
	events eventstore.Codec
}

func ledgerStream(id string) string { return eventstore.StreamName("import", id) }

func (l ledger) seen(ctx context.Context, id string) (bool, error) {
	for _, err := range l.store.Read(ctx, ledgerStream(id), eventstore.ReadOptions{Limit: 1}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	return false, nil
}

// note is called after the command was decided. A crash in between is harmless:
// the aggregate knows a command that it has carried out.
func (l ledger) note(ctx context.Context, id string, accepted bool) error {
	e, err := l.events.Encode(Decided{accepted})
	if err != nil {
		return err
	}
	_, err = l.store.Append(ctx, ledgerStream(id), eventstore.Any, e)
	return err
}
