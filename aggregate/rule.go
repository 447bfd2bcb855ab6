package aggregate

import (
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// What a [RefusedError] wraps when a command was for an aggregate that does
// not exist, or does already.
var (
	ErrNotExist = errors.New("aggregate does not exist")
	ErrExists   = errors.New("aggregate exists already")
)

// A rule says what must hold before decide is asked.
type rule uint8

const (
	mustExist rule = iota + 1
	mustNotExist
)

// MustExist has a command refused with [ErrNotExist] unless its aggregate has
// events.
func MustExist() ExecuteOption { return func(r *rule) { *r = mustExist } }

// MustNotExist has a command refused with [ErrExists] if its aggregate has
// events. Such a command is decided without reading the store first: the
// append tells.
func MustNotExist() ExecuteOption { return func(r *rule) { *r = mustNotExist } }

func (r rule) check(stream string, v eventstore.Version) error {
	switch {
	case r == mustExist && v == 0:
		return fmt.Errorf("%s: %w", stream, ErrNotExist)
	case r == mustNotExist && v > 0:
		return fmt.Errorf("%s: %w", stream, ErrExists)
	}
	return nil
}
