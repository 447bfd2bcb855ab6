package keydir

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

func FuzzParse(f *testing.F) {
	m, err := newMaster(bytes.Repeat([]byte{7}, MasterSize))
	require.NoError(f, err)
	r := record{state: stateKey, id: shred.KeyID{1}, made: 2}
	r.wrap(m, "file", [32]byte{3})
	f.Add(r.append(nil))
	r.erase(time.Unix(4, 5))
	f.Add(r.append(nil))
	f.Add(r.append(r.append(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parse(data)
		if err != nil {
			return
		}
		for i := range all {
			_, _ = all[i].unwrap([]*master{m}, "file")
			if _, err := parse(all[i].append(nil)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestASecretIsBoundToItsSubjectAndItsID(t *testing.T) {
	t.Parallel()
	m, err := newMaster(bytes.Repeat([]byte{7}, MasterSize))
	require.NoError(t, err)
	r := record{state: stateKey, id: shred.KeyID{1}}
	r.wrap(m, "ada", [32]byte{3})
	secret, err := r.unwrap([]*master{m}, "ada")
	require.NoError(t, err)
	assert.Equal(t, [32]byte{3}, secret)
	_, err = r.unwrap([]*master{m}, "bob")
	require.ErrorIs(t, err, errDamaged)
	r.id = shred.KeyID{2}
	_, err = r.unwrap([]*master{m}, "ada")
	require.ErrorIs(t, err, errDamaged)
}
