// Package shredtest holds what every [shred.KeyStore] must do.
package shredtest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// Run tests a store. open returns one of its own for each test, and a function
// that opens the same keys again, as another process would; for a store that
// nobody else can open it is nil.
func Run(t *testing.T, open func(t *testing.T) (store shred.KeyStore, again func() shred.KeyStore)) {
	t.Helper()
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store, again := open(t)
			if again == nil {
				again = func() shred.KeyStore { return store }
			}
			c.check(t, store, again)
		})
	}
}

var clauses = []struct {
	name  string
	check func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore)
}{
	{"a subject never heard of has no keys", func(t *testing.T, s shred.KeyStore, _ func() shred.KeyStore) {
		keys, err := s.Find(t.Context(), "ada")
		require.NoError(t, err)
		assert.Zero(t, keys)
		assert.False(t, keys.Gone())
	}},
	{"a key that is made is found again, by others too", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		made, err := s.Make(t.Context(), "ada")
		require.NoError(t, err)
		assert.False(t, made.Current.ID.IsZero())
		assert.NotZero(t, made.Current.Secret)
		for _, other := range []shred.KeyStore{s, again()} {
			found, err := other.Find(t.Context(), "ada")
			require.NoError(t, err)
			assert.Equal(t, made, found)
			second, err := other.Make(t.Context(), "ada")
			require.NoError(t, err)
			assert.Equal(t, made, second)
		}
	}},
	{"subjects have different keys", func(t *testing.T, s shred.KeyStore, _ func() shred.KeyStore) {
		ids := map[shred.KeyID]bool{}
		secrets := map[[32]byte]bool{}
		for _, subject := range []string{"ada", "Ada", "", "ada\x00", "../ada", "ada/1"} {
			keys, err := s.Make(t.Context(), subject)
			require.NoError(t, err, subject)
			ids[keys.Current.ID], secrets[keys.Current.Secret] = true, true
		}
		assert.Len(t, ids, 6)
		assert.Len(t, secrets, 6)
	}},
	{"of many who make a key at once all get the same", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		stores := []shred.KeyStore{s, again()}
		made := make([]shred.Keys, 16)
		errs := make([]error, len(made))
		var group sync.WaitGroup
		for i := range made {
			group.Go(func() { made[i], errs[i] = stores[i%2].Make(t.Context(), "ada") })
		}
		group.Wait()
		for i := range made {
			require.NoError(t, errs[i])
			assert.Equal(t, made[0], made[i])
		}
	}},
	{"an erased key is gone and remembered", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		made, err := s.Make(t.Context(), "ada")
		require.NoError(t, err)
		bob, err := s.Make(t.Context(), "bob")
		require.NoError(t, err)
		for range 2 { // a second time changes nothing
			require.NoError(t, s.Erase(t.Context(), "ada"))
		}
		for _, other := range []shred.KeyStore{s, again()} {
			found, err := other.Find(t.Context(), "ada")
			require.NoError(t, err)
			assert.True(t, found.Gone())
			assert.Zero(t, found.Current)
			assert.Equal(t, []shred.KeyID{made.Current.ID}, found.Erased)
			_, err = other.Make(t.Context(), "ada")
			var erased *shred.ErasedError
			require.ErrorAs(t, err, &erased)
			require.ErrorIs(t, err, shred.ErrErased)
			assert.Equal(t, "ada", erased.Subject)
			found, err = other.Find(t.Context(), "bob")
			require.NoError(t, err)
			assert.Equal(t, bob, found)
		}
	}},
	{"a subject never heard of can be erased", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		require.NoError(t, s.Erase(t.Context(), "ada"))
		found, err := again().Find(t.Context(), "ada")
		require.NoError(t, err)
		assert.True(t, found.Gone())
		assert.Empty(t, found.Erased)
		_, err = s.Make(t.Context(), "ada")
		require.ErrorIs(t, err, shred.ErrErased)
	}},
	{"a subject that is admitted again has a new key, and what was erased stays erased", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		var erased []shred.KeyID
		for range 3 {
			keys, err := s.Admit(t.Context(), "ada")
			require.NoError(t, err)
			assert.NotContains(t, erased, keys.Current.ID)
			assert.Equal(t, erased, keys.Erased)
			assert.False(t, keys.Gone())
			same, err := again().Admit(t.Context(), "ada")
			require.NoError(t, err)
			assert.Equal(t, keys, same)
			erased = append(erased, keys.Current.ID)
			require.NoError(t, s.Erase(t.Context(), "ada"))
		}
	}},
	{"erasing while others write ends erased", func(t *testing.T, s shred.KeyStore, again func() shred.KeyStore) {
		for range 20 {
			other := again()
			var group sync.WaitGroup
			errs := make([]error, 3)
			group.Go(func() { _, errs[0] = s.Make(t.Context(), "ada") })
			group.Go(func() { errs[1] = other.Erase(t.Context(), "ada") })
			group.Go(func() { _, errs[2] = other.Find(t.Context(), "ada") })
			group.Wait()
			if errs[0] != nil {
				require.ErrorIs(t, errs[0], shred.ErrErased)
			}
			require.NoError(t, errs[1])
			require.NoError(t, errs[2])
			found, err := s.Find(t.Context(), "ada")
			require.NoError(t, err)
			require.True(t, found.Gone())
			_, err = s.Admit(t.Context(), "ada")
			require.NoError(t, err)
		}
	}},
}
