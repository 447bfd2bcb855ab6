package shred_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/eventstore/codec/shred"
	"github.com/foldstream/foldstream/eventstore/codec/shred/shredtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	shredtest.Run(t, func(*testing.T) (shred.KeyStore, func() shred.KeyStore) { return new(shred.Memory), nil })
}

func TestKeysArePrintedWithoutTheirSecret(t *testing.T) {
	t.Parallel()
	key := shred.NewKey()
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d", "%q"} {
		assert.Equal(t, "key "+key.ID.String(), fmt.Sprintf(format, key), format)
	}
	assert.NotContains(t, fmt.Sprintf("%+v", shred.Keys{Current: key}), fmt.Sprint(key.Secret))
}
