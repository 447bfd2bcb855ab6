package codec

import (
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// ErrUnregistered is matched by the error for a Go type that was not
// registered with [Type].
var ErrUnregistered = errors.New("codec: Go type is not registered")

// A DecodeError says which stored event could not be decoded or upcast.
type DecodeError struct {
	Type    string
	Stream  string
	Version eventstore.Version
	Err     error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("codec: event %d of stream %q, type %q, cannot be decoded: %v", e.Version, e.Stream, e.Type, e.Err)
}

// Unwrap returns what the encoding or the upcast said.
func (e *DecodeError) Unwrap() error { return e.Err }
