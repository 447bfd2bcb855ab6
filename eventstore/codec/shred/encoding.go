package shred

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/foldstream/foldstream/eventstore/codec"
)

// Encoding returns an encoding in which fields that are tagged as personal are
// sealed, for what is kept beside the log: documents of views, snapshots. The
// same erasure blanks them at once, wherever they are, and nothing has to be
// rebuilt. Values of types without tags are encoded as by inner.
//
// Unlike an event, a document of a subject that is erased can be written: its
// personal fields are left out. A personal field whose subject is not set is an
// error.
//
// Of what is around a document, such as its key or an index, nothing is sealed.
func (r *Ring) Encoding(inner codec.Encoding) codec.Encoding {
	return &documents{Encoding: inner, ring: r}
}

// documents writes values with something personal as
//
//	0xC1 'f' 's' 1   which no value in MessagePack or JSON begins with
//	length sealed    see [sealed], in base64
//	data
type documents struct {
	codec.Encoding

	ring  *Ring
	plans sync.Map // reflect.Type to planned
}

type planned struct {
	*plan
	err error
}

const sealedMagic = "\xc1fs\x01"

// documentType is what documents are bound to instead of an event's type.
const documentType = "$document"

// Marshal implements [codec.Encoding].
func (e *documents) Marshal(v any) ([]byte, error) { return e.Append(nil, v) }

// Append implements [codec.Encoding].
func (e *documents) Append(b []byte, v any) ([]byte, error) {
	p, err := e.planOf(reflect.TypeOf(v))
	if err != nil {
		return b, err
	}
	if p == nil {
		return e.Encoding.Append(b, v)
	}
	plain, err := e.Encoding.Marshal(v)
	if err != nil {
		return b, err
	}
	w := sealing{ring: e.ring, plan: p, typ: documentType, content: e.ContentType(), encode: e.Encoding.Marshal, lenient: true}
	if err := w.seal(reflect.ValueOf(v), plain); err != nil {
		return b, err
	}
	if len(w.sections) > 0 {
		b = appendBytes(append(b, sealedMagic...), w.sealed.encode())
	}
	return append(b, w.data...), nil
}

func (e *documents) planOf(t reflect.Type) (*plan, error) {
	if t == nil {
		return nil, nil
	}
	if known, ok := e.plans.Load(t); ok {
		return known.(planned).plan, known.(planned).err
	}
	p, err := planOf(t, nil)
	if err != nil {
		err = fmt.Errorf("shred: %w", err)
	}
	e.plans.Store(t, planned{p, err})
	return p, err
}

// Unmarshal implements [codec.Encoding].
func (e *documents) Unmarshal(data []byte, v any) error {
	rest, ok := bytes.CutPrefix(data, []byte(sealedMagic))
	if !ok {
		return e.Encoding.Unmarshal(data, v)
	}
	text, rest, err := cutBytes(rest)
	var s *sealed
	if err == nil {
		s, err = parseSealed(string(text))
	}
	if err != nil {
		return &TamperedError{Type: documentType, Reason: err.Error()}
	}
	if rest, err = e.ring.open(s, documentType, rest); err != nil {
		return err
	}
	return e.Encoding.Unmarshal(rest, v)
}
