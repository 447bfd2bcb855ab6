package shred

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// Options configure a [Ring]. The zero value is ready to use.
type Options struct {
	// MaxAge is how long a ring goes by what the store of keys has said, and so
	// the time after which an erasure by another process is certain to be seen
	// here; default 30 s. What is written meanwhile is sealed with the key that
	// is erased, and so is erased as well.
	MaxAge time.Duration
	// MaxSubjects is how many subjects a ring remembers; default 10,000. Each
	// takes about 1 KiB.
	MaxSubjects int
	// Timeout is how long a ring waits for the store of keys; default 5 s.
	Timeout time.Duration
}

// A Ring seals and opens with the keys of a [KeyStore], of which it remembers
// some for a while. It is safe for concurrent use.
type Ring struct {
	store KeyStore
	opts  Options

	mu         sync.RWMutex
	young, old map[string]*held // when young is full, it becomes old
	changes    uint64           // counts erasures and admissions by this ring
}

// held is what is remembered of a subject.
type held struct {
	keys    Keys
	aead    cipher.AEAD // of the current key, if there is one
	durable bool        // the key is certain to survive a crash
	until   time.Time
}

// NewRing returns a ring with the keys of a store. A nil opts means the
// defaults.
func NewRing(store KeyStore, opts *Options) *Ring {
	r := &Ring{store: store, young: make(map[string]*held)}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.MaxAge <= 0 {
		r.opts.MaxAge = 30 * time.Second
	}
	if r.opts.MaxSubjects <= 0 {
		r.opts.MaxSubjects = 10_000
	}
	if r.opts.Timeout <= 0 {
		r.opts.Timeout = 5 * time.Second
	}
	return r
}

// Seal has a codec seal and open with the keys of r.
func (r *Ring) Seal() codec.Registration { return codec.Sealed(sealer{r}) }

// Erase erases all personal data of a subject, wherever events and sealed
// documents with it are: it destroys the subject's key. When it returns, that
// survives a crash and holds for this ring; others that use the same store see
// it within Options.MaxAge. It cannot be undone.
//
// To erase again is to do nothing, and a subject without any data is erased as
// well: nothing more can be written about it.
func (r *Ring) Erase(ctx context.Context, subject string) error {
	if err := r.store.Erase(ctx, subject); err != nil {
		return unavailable("erase the key", subject, err)
	}
	r.forget(subject)
	return nil
}

// Admit lets events be written again about a subject that was erased, with a
// new key. What was erased stays so.
func (r *Ring) Admit(ctx context.Context, subject string) error {
	if _, err := r.store.Admit(ctx, subject); err != nil {
		return unavailable("make a new key", subject, err)
	}
	r.forget(subject)
	return nil
}

// Erased reports whether anything that an event with this metadata was written
// with has been erased since. Handlers of projections have the metadata in their
// Meta, but note that a fold which asks depends on more than its arguments; a
// placeholder in the event tells without asking.
func (r *Ring) Erased(m eventstore.Metadata) (bool, error) {
	s, err := sealedIn(m)
	if s == nil || err != nil {
		return false, err
	}
	for i := range s.sections {
		c := &s.sections[i]
		if aead, err := r.toOpen(c.subject, c.id); err != nil || aead == nil {
			return err == nil, err
		}
	}
	return false, nil
}

// toSeal returns the current key of a subject, which there is afterwards, on
// the disk.
func (r *Ring) toSeal(subject string) (KeyID, cipher.AEAD, error) {
	h := r.remembered(subject)
	if h == nil || !h.durable && !h.keys.Gone() {
		var err error
		if h, err = r.ask("make a key", subject, true, r.store.Make); err != nil {
			return KeyID{}, nil, err
		}
	}
	if h.keys.Gone() {
		return KeyID{}, nil, &ErasedError{subject}
	}
	return h.keys.Current.ID, h.aead, nil
}

// toOpen returns a key of a subject, or nil if it was destroyed.
func (r *Ring) toOpen(subject string, id KeyID) (cipher.AEAD, error) {
	h := r.remembered(subject)
	for fresh := false; ; fresh = true {
		switch {
		case h != nil && h.keys.Current.ID == id:
			return h.aead, nil
		case h != nil && (slices.Contains(h.keys.Erased, id) || fresh && h.keys.Destroyed(id)):
			return nil, nil // a key that is not listed may have been made since
		case fresh:
			return nil, &UnknownKeyError{subject, id}
		}
		var err error
		if h, err = r.ask("find the key", subject, false, r.store.Find); err != nil {
			return nil, err
		}
	}
}

// remembered returns what is known of a subject without asking, or nil.
func (r *Ring) remembered(subject string) *held {
	r.mu.RLock()
	h, young := r.young[subject]
	if !young {
		h = r.old[subject]
	}
	r.mu.RUnlock()
	if h == nil || time.Now().After(h.until) {
		return nil
	}
	if !young {
		r.mu.Lock()
		if r.old[subject] == h { // not forgotten meanwhile
			r.remember(subject, h)
		}
		r.mu.Unlock()
	}
	return h
}

// remember needs the lock.
func (r *Ring) remember(subject string, h *held) {
	if len(r.young) >= (r.opts.MaxSubjects+1)/2 {
		r.old, r.young = r.young, make(map[string]*held, len(r.young))
	}
	r.young[subject] = h
}

// forget is called when the store has changed a subject.
func (r *Ring) forget(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++ // answers that are on their way are older
	delete(r.young, subject)
	delete(r.old, subject)
}

// ask asks the store about a subject, and remembers what it says.
func (r *Ring) ask(op, subject string, durable bool, what func(context.Context, string) (Keys, error)) (*held, error) {
	r.mu.RLock()
	changes := r.changes
	r.mu.RUnlock()
	h := &held{durable: durable, until: time.Now().Add(r.opts.MaxAge)} // counted from before the answer
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.Timeout)
	defer cancel()
	var err error
	if h.keys, err = what(ctx, subject); err != nil && !errors.Is(err, ErrErased) {
		return nil, unavailable(op, subject, err)
	}
	switch {
	case err != nil && !h.keys.Gone():
		return nil, err
	case h.keys.Gone():
	case h.keys.Current.ID.IsZero():
		return h, nil // nothing to remember, and soon wrong
	default:
		if h.aead, err = newAEAD(&h.keys.Current.Secret); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if changes == r.changes {
		r.remember(subject, h)
	}
	return h, nil
}

func newAEAD(secret *[32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("shred: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("shred: %w", err)
	}
	return aead, nil
}

// unavailable says that the store of keys could not be asked.
func unavailable(op, subject string, err error) error {
	if errors.Is(err, eventstore.ErrUnavailable) {
		return err
	}
	return &eventstore.UnavailableError{Op: fmt.Sprintf("%s of subject %q", op, subject), Err: err}
}
