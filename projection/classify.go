package projection

import (
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// An ErrorClass says what to do with an event whose handler has failed.
type ErrorClass uint8

const (
	// ClassDefault leaves it to the kind of handler: an error of a fold, or of
	// keys, is poison, because folds depend on nothing but their arguments; an
	// error of a reaction is transient. So is an event of a newer schema version,
	// see [eventstore.ErrNewerSchema]: it is for a newer program, which is on its
	// way while one replaces the other. And so is [eventstore.ErrUnavailable],
	// such as of an event whose key cannot be had now.
	ClassDefault ErrorClass = iota
	// ClassTransient means that trying again may help. The event is tried again
	// with growing pauses, and nothing behind it in its partition is skipped.
	ClassTransient
	// ClassPoison means that trying again does not help. The event is parked
	// with the later events of its stream, and others go on.
	ClassPoison
)

// classError is an error of which its handler has said what it is.
type classError struct {
	err   error
	class ErrorClass
}

func (e *classError) Error() string { return e.err.Error() }
func (e *classError) Unwrap() error { return e.err }

// Transient marks an error of a handler as [ClassTransient]. A nil err stays
// nil.
func Transient(err error) error { return classed(err, ClassTransient) }

// Poison marks an error of a handler as [ClassPoison]. A nil err stays nil.
func Poison(err error) error { return classed(err, ClassPoison) }

func classed(err error, class ErrorClass) error {
	if err == nil {
		return nil
	}
	return &classError{err, class}
}

// panicked is what a panic of user code becomes. It is always poison.
func panicked(v any) error { return Poison(fmt.Errorf("panic: %v", v)) }

// transient reports whether an event shall be tried again: by what the handler
// has said, or else [Options.Classify], or else the kind of handler.
func (o *Options) transient(err error, reaction bool) bool {
	var marked *classError
	class := ClassDefault
	if errors.As(err, &marked) {
		class = marked.class
	} else if o.Classify != nil {
		class = o.Classify(err)
	}
	if class == ClassDefault {
		return reaction || errors.Is(err, eventstore.ErrNewerSchema) || errors.Is(err, eventstore.ErrUnavailable)
	}
	return class == ClassTransient
}
