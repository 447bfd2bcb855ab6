package memview

import (
	"encoding/json"

	"github.com/foldstream/foldstream/projection"
)

// NewCollection returns a collection of documents of type T, kept as JSON, in
// s. A nil opts means the defaults.
func NewCollection[T any](s *Store, name string, opts *projection.TargetOptions) *projection.Collection[T] {
	return projection.NewCollection[T](s, name, asJSON{}, opts)
}

// NewIndex returns an index in s. A nil opts means the defaults.
func NewIndex(s *Store, name string, opts *projection.TargetOptions) *projection.Index {
	return projection.NewIndex(s, name, opts)
}

// NewSet returns a set in s. A nil opts means the defaults.
func NewSet(s *Store, name string, opts *projection.TargetOptions) *projection.Set {
	return projection.NewSet(s, name, opts)
}

// NewCounters returns counters in s. A nil opts means the defaults.
func NewCounters(s *Store, name string, opts *projection.TargetOptions) *projection.Counters {
	return projection.NewCounters(s, name, opts)
}

type asJSON struct{}

func (asJSON) Append(b []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(b, data...), err
}

func (asJSON) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
