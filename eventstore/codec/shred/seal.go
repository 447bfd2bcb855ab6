package shred

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// sealer is the [codec.Sealer] of a ring.
type sealer struct{ r *Ring }

// Plan implements [codec.Sealer].
func (s sealer) Plan(t reflect.Type, options []any) (codec.Seal, error) {
	p, err := planOf(t, options)
	if p == nil || err != nil {
		return nil, err
	}
	return func(event any, e eventstore.Event, encode func(any) ([]byte, error)) (eventstore.Event, error) {
		w := sealing{ring: s.r, plan: p, typ: e.Type, content: e.ContentType, encode: encode}
		if err := w.seal(reflect.ValueOf(event), e.Data); err != nil || len(w.sections) == 0 {
			return e, err
		}
		e.Data = w.data
		if w.whole {
			e.ContentType = eventstore.ContentTypeBinary
		}
		e.Metadata = e.Metadata.With(eventstore.KeySealed, w.sealed.encode())
		return e, nil
	}, nil
}

// Open implements [codec.Sealer].
func (s sealer) Open(rec eventstore.Recorded) (eventstore.Recorded, error) {
	sealed, err := sealedIn(rec.Metadata)
	if err != nil {
		return rec, &TamperedError{Type: rec.Type, Reason: err.Error()}
	}
	if sealed == nil {
		return rec, nil
	}
	if rec.Data, err = s.r.open(sealed, rec.Type, rec.Data); err == nil && sealed.whole {
		rec.ContentType = sealed.content
	}
	return rec, err
}

// sealing is the work on one value.
type sealing struct {
	ring    *Ring
	plan    *plan
	typ     string // that it is stored as
	content string // content type
	encode  func(any) ([]byte, error)
	lenient bool // what belongs to erased subjects is left out, instead of refused

	sealed        // what is stored of it
	data   []byte // beside this
}

// seal seals a value that is encoded as data.
func (w *sealing) seal(v reflect.Value, data []byte) error {
	st := reflect.Indirect(v)
	w.data, w.layout = data, layoutFor(w.content)
	switch {
	case !st.IsValid(): // a nil pointer
		return nil
	case w.plan.whole != nil:
		return w.sealWhole(v, w.plan.whole.in(st), data)
	}
	subjects := w.plan.root.subjects(st, nil)
	if len(subjects) == 0 {
		return nil
	}
	var err error
	if w.data, err = w.encode(w.plan.without(v, "")); err != nil {
		return err
	}
	return w.sealFields(v, subjects, data)
}

func (w *sealing) sealFields(v reflect.Value, subjects []string, data []byte) error {
	l, _ := layoutOf(w.layout)
	if len(subjects) == 1 && subjects[0] != "" {
		return w.addPatch(subjects[0], diff(l, w.data, data))
	}
	merged := w.data
	for _, subject := range subjects {
		if subject == "" {
			continue
		}
		filled, err := w.encode(w.plan.without(v, subject))
		if err != nil {
			return err
		}
		patch := diff(l, w.data, filled)
		if err := w.addPatch(subject, patch); err != nil {
			return err
		}
		if len(patch) > 0 {
			if merged, err = apply(l, merged, patch); err != nil {
				merged = nil
			}
		}
	}
	switch {
	case len(diff(l, merged, data)) == 0: // all of it is somebody's
		return nil
	case slices.Contains(subjects, ""):
		return fmt.Errorf("shred: a %v has personal data, and the field with its subject is empty, so nobody could ever erase it; set that field", v.Type())
	}
	return fmt.Errorf("shred: a %v has personal data of several subjects, which its encoding does not keep apart; use codec.JSON or codec.Msgpack, or an event for each subject", v.Type())
}

func (w *sealing) addPatch(subject string, patch []byte) error {
	if len(patch) == 0 {
		return nil // it has nothing here
	}
	_, err := w.add(subject, patch)
	return err
}

func (w *sealing) sealWhole(v reflect.Value, subject string, data []byte) (err error) {
	if subject == "" {
		return fmt.Errorf("shred: a %v is personal, and the field with its subject is empty, so nobody could ever erase it; set that field", v.Type())
	}
	w.whole, w.sealed.content = true, w.content
	if w.blank, err = w.encode(w.plan.empty(v)); err != nil {
		return err
	}
	w.data = w.blank
	c, err := w.add(subject, data)
	if c != nil {
		w.data = c.cipher
	}
	return err
}

// add encrypts what belongs to a subject. It returns nil if that is left out.
func (w *sealing) add(subject string, plain []byte) (*section, error) {
	id, aead, err := w.ring.toSeal(subject)
	if w.lenient && errors.Is(err, ErrErased) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := section{subject: subject, id: id}
	c.cipher = aead.Seal(nil, nil, plain, w.bound(w.typ, &c))
	w.sections = append(w.sections, c)
	return &c, nil
}

// open returns the data of an event as far as it is not erased.
func (r *Ring) open(s *sealed, typ string, data []byte) ([]byte, error) {
	if s.whole {
		plain, err := r.decrypt(s, &s.sections[0], typ, data)
		if err == nil && plain == nil {
			plain = s.blank
		}
		return plain, err
	}
	l, _ := layoutOf(s.layout)
	for i := range s.sections {
		c := &s.sections[i]
		patch, err := r.decrypt(s, c, typ, c.cipher)
		if err != nil {
			return nil, err
		}
		if patch == nil {
			continue
		}
		if data, err = apply(l, data, patch); err != nil {
			return nil, &TamperedError{typ, c.subject, "it does not fit the data of the event"}
		}
	}
	return data, nil
}

// decrypt returns what is sealed in a section, or nil if it was erased.
func (r *Ring) decrypt(s *sealed, c *section, typ string, cipher []byte) ([]byte, error) {
	aead, err := r.toOpen(c.subject, c.id)
	if aead == nil || err != nil {
		return nil, err
	}
	plain, err := aead.Open([]byte{}, nil, cipher, s.bound(typ, c)) // never nil
	if err != nil {
		return nil, &TamperedError{typ, c.subject, "it was not sealed with this key for this type of event"}
	}
	return plain, nil
}
