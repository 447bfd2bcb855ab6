package shred

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"
)

// A KeyStore keeps the keys of data subjects. Package keydir keeps them in
// files; [Memory] is for tests; one on a key management service can be written
// by anybody, see package shredtest for what it has to hold.
//
// A KeyStore is safe for concurrent use, also by several processes if they
// share it. It may be slow. An error other than
// [ErrErased] means that it cannot say now.
type KeyStore interface {
	// Find returns the keys of a subject, and no keys of a subject that the
	// store has never heard of.
	Find(ctx context.Context, subject string) (Keys, error)

	// Make returns the keys of a subject, of which it makes the first if there
	// is none. Of two callers who make it at once both get the same. When it
	// returns, the key survives a crash, whoever has made it. For a subject that
	// is erased it returns an [*ErasedError].
	Make(ctx context.Context, subject string) (Keys, error)

	// Erase destroys the key of a subject and remembers that. When it returns,
	// that survives a crash. A subject that is erased already, or that the store
	// has never heard of, ends up erased too.
	Erase(ctx context.Context, subject string) error

	// Admit makes a new key for a subject that was erased, and is Make for
	// others. What was erased stays so.
	Admit(ctx context.Context, subject string) (Keys, error)
}

// Keys are what a store knows of a subject. The zero value is a subject that it
// has never heard of.
type Keys struct {
	Current Key       // zero if there is none
	Erased  []KeyID   // of keys that were destroyed, as far as there were any
	Since   time.Time // when the subject was last erased, UTC; zero if never
}

// Gone reports whether the subject is erased, and nothing was admitted since.
func (k Keys) Gone() bool { return k.Current.ID.IsZero() && !k.Since.IsZero() }

// Destroyed reports whether what was sealed with a key was erased.
func (k Keys) Destroyed(id KeyID) bool { return k.Gone() || slices.Contains(k.Erased, id) }

// A Key is what personal data of one subject is encrypted with. Printing it
// shows its ID only.
type Key struct {
	ID     KeyID
	Secret [32]byte
}

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k.ID[:]) // never fails
	_, _ = rand.Read(k.Secret[:])
	return k
}

// Format implements [fmt.Formatter] without the secret.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "key "+k.ID.String()) }

// A KeyID tells the keys of one subject apart.
type KeyID [8]byte

// IsZero reports whether id is of no key.
func (id KeyID) IsZero() bool { return id == KeyID{} }

// String returns id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }
