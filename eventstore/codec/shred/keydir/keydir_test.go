package keydir_test

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
	"github.com/foldstream/foldstream/eventstore/codec/shred/keydir"
	"github.com/foldstream/foldstream/eventstore/codec/shred/shredtest"
)

func open(t *testing.T, dir string, opts *keydir.Options) *keydir.Dir {
	t.Helper()
	d, err := keydir.Open(dir, opts)
	require.NoError(t, err)
	return d
}

func newMaster(t *testing.T) []byte {
	t.Helper()
	key, err := keydir.ParseMaster(keydir.NewMaster())
	require.NoError(t, err)
	return key
}

func TestDir(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*keydir.Options{"plain": nil, "with a master key": {Master: newMaster(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shredtest.Run(t, func(t *testing.T) (shred.KeyStore, func() shred.KeyStore) {
				dir := filepath.Join(t.TempDir(), "keys")
				return open(t, dir, opts), func() shred.KeyStore { return open(t, dir, opts) }
			})
		})
	}
}

// contents returns all bytes in a directory, and holds their modes.
func contents(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		all = append(all, e.Name()...)
		if e.IsDir() {
			assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), path)
			return nil
		}
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), path)
		data, err := os.ReadFile(path)
		all = append(all, data...)
		return err
	}))
	return all
}

func TestNothingOfASubjectIsReadableInTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	d := open(t, dir, &keydir.Options{Master: newMaster(t)})
	keys, err := d.Make(t.Context(), "ada lovelace")
	require.NoError(t, err)
	all := contents(t, dir)
	assert.NotContains(t, string(all), "lovelace")
	assert.False(t, bytes.Contains(all, keys.Current.Secret[:]), "the secret is in the clear")
	assert.True(t, bytes.Contains(all, keys.Current.ID[:]))
}

func TestErasingOverwritesTheSecret(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	d := open(t, dir, nil)
	keys, err := d.Make(t.Context(), "ada")
	require.NoError(t, err)
	f, err := os.Open(filepath.Join(dir, d.FileOf("ada")[:2], d.FileOf("ada"))) // as it is on the disk, whatever happens to its name
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.True(t, bytes.Contains(contents(t, dir), keys.Current.Secret[:]))
	require.NoError(t, d.Erase(t.Context(), "ada"))
	assert.False(t, bytes.Contains(contents(t, dir), keys.Current.Secret[:]))
	old := make([]byte, 4096)
	n, _ := f.ReadAt(old, 0)
	assert.False(t, bytes.Contains(old[:n], keys.Current.Secret[:]))
}

func TestAMasterKeyIsNeeded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	right := newMaster(t)
	made, err := open(t, dir, &keydir.Options{Master: right}).Make(t.Context(), "ada")
	require.NoError(t, err)
	for name, opts := range map[string]*keydir.Options{"none": nil, "another": {Master: newMaster(t)}} {
		d := open(t, dir, opts)
		_, err := d.Find(t.Context(), "ada")
		require.ErrorIs(t, err, keydir.ErrMaster, name)
		_, err = d.Make(t.Context(), "ada")
		require.ErrorIs(t, err, keydir.ErrMaster, name)
	}
	found, err := open(t, dir, &keydir.Options{Master: newMaster(t), Old: [][]byte{right}}).Find(t.Context(), "ada")
	require.NoError(t, err)
	assert.Equal(t, made, found)
	require.NoError(t, open(t, dir, nil).Erase(t.Context(), "ada"), "to erase needs no master key")
	_, err = keydir.Open(dir, &keydir.Options{Master: right[:31]})
	require.ErrorContains(t, err, "32 bytes")
}

func TestRotate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	first, second := newMaster(t), newMaster(t)
	made := map[string]shred.Keys{}
	for _, opts := range []*keydir.Options{nil, {Master: first}} {
		for range 5 {
			subject := rand.Text()
			keys, err := open(t, dir, opts).Make(t.Context(), subject)
			require.NoError(t, err)
			made[subject] = keys
		}
	}
	require.NoError(t, open(t, dir, nil).Erase(t.Context(), "bob"))
	_, err := open(t, dir, &keydir.Options{Master: second}).Rotate(t.Context())
	require.ErrorIs(t, err, keydir.ErrMaster)
	for i, tt := range []struct {
		opts keydir.Options
		want int
	}{
		{keydir.Options{Master: second, Old: [][]byte{first}}, -1}, // what the refused one left
		{keydir.Options{Master: second, Old: [][]byte{first}}, 0},
		{keydir.Options{Master: second}, 0},
		{keydir.Options{Old: [][]byte{second}}, 10}, // without a master key again
		{keydir.Options{}, 0},
	} {
		d := open(t, dir, &tt.opts)
		n, err := d.Rotate(t.Context())
		require.NoError(t, err, i)
		if tt.want >= 0 {
			assert.Equal(t, tt.want, n, i)
		}
		for subject, keys := range made {
			found, err := d.Find(t.Context(), subject)
			require.NoError(t, err)
			assert.Equal(t, keys, found)
		}
		found, err := d.Find(t.Context(), "bob")
		require.NoError(t, err)
		assert.True(t, found.Gone())
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	d := open(t, filepath.Join(t.TempDir(), "keys"), &keydir.Options{Master: newMaster(t)})
	ada, err := d.Make(t.Context(), "ada")
	require.NoError(t, err)
	require.NoError(t, d.Erase(t.Context(), "bob"))
	found := map[string]keydir.Entry{}
	for e, err := range d.Entries(t.Context()) {
		require.NoError(t, err)
		found[e.File] = e
	}
	require.Len(t, found, 2)
	e := found[d.FileOf("ada")]
	assert.Equal(t, ada.Current.ID, e.ID)
	assert.Equal(t, 1, e.Keys)
	assert.Equal(t, d.MasterName(), e.Master)
	assert.False(t, e.Made.IsZero())
	assert.True(t, e.Erased.IsZero())
	e = found[d.FileOf("bob")]
	assert.Zero(t, e.Keys)
	assert.False(t, e.Erased.IsZero())
}

func TestADamagedFileIsAnErrorUntilItIsErased(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	d := open(t, dir, nil)
	_, err := d.Make(t.Context(), "ada")
	require.NoError(t, err)
	path := filepath.Join(dir, d.FileOf("ada")[:2], d.FileOf("ada"))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range len(whole) + 1 {
		damaged := bytes.Clone(whole[:i])
		if i == len(whole) {
			damaged = append(damaged, 0)
		} else if i > 0 {
			damaged = bytes.Clone(whole)
			damaged[i] ^= 1
		}
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err := d.Find(t.Context(), "ada")
		require.ErrorIs(t, err, eventstore.ErrCorrupt, i)
		_, err = d.Make(t.Context(), "ada")
		require.ErrorIs(t, err, eventstore.ErrCorrupt, i)
	}
	require.NoError(t, d.Erase(t.Context(), "ada"))
	keys, err := d.Find(t.Context(), "ada")
	require.NoError(t, err)
	assert.True(t, keys.Gone())
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := keydir.Open(filepath.Join(dir, "none"), &keydir.Options{MustExist: true})
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600))
	_, err = keydir.Open(dir, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.ErrorContains(t, err, "letter.txt")

	lost := filepath.Join(dir, "lost")
	_, err = open(t, lost, nil).Make(t.Context(), "ada")
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(lost, "store")))
	_, err = keydir.Open(lost, nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt, "another salt would make strangers of all subjects")

	strange := filepath.Join(dir, "strange")
	open(t, strange, nil)
	require.NoError(t, os.WriteFile(filepath.Join(strange, "store"), []byte("foldstream keys 2\n"), 0o600))
	_, err = keydir.Open(strange, nil)
	require.ErrorContains(t, err, "known format")
}

func TestReadMaster(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "master")
	text := keydir.NewMaster()
	require.NoError(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
	key, err := keydir.ReadMaster(file)
	require.NoError(t, err)
	want, err := keydir.ParseMaster(text)
	require.NoError(t, err)
	assert.Equal(t, want, key)
	require.NoError(t, os.WriteFile(file, []byte("swordfish"), 0o600))
	_, err = keydir.ReadMaster(file)
	require.ErrorContains(t, err, "openssl rand")
	assert.NotContains(t, err.Error(), "swordfish")
}
