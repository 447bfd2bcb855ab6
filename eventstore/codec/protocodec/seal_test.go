package protocodec_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/apipb"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/protocodec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// Name stands for who it is about, Root for what is personal.
func TestPersonalFieldsOfMessagesAreErased(t *testing.T) {
	t.Parallel()
	ring := shred.NewRing(new(shred.Memory), nil)
	events := codec.New(ring.Seal(), codec.Default(protocodec.Protobuf),
		codec.Type[*apipb.Mixin]("mixed.in", shred.Fields(shred.Field{Path: "Root", Subject: "customer/Name", Erased: "gone"})))
	e, err := events.Encode(&apipb.Mixin{Name: "ada", Root: "secret"})
	require.NoError(t, err)
	assert.NotContains(t, string(e.Data), "secret")
	root := func() string {
		got, err := events.Decode(recorded(e))
		require.NoError(t, err)
		require.Equal(t, "ada", got.(*apipb.Mixin).GetName())
		return got.(*apipb.Mixin).GetRoot()
	}
	assert.Equal(t, "secret", root())
	require.NoError(t, ring.Erase(t.Context(), "customer/ada"))
	assert.Equal(t, "gone", root())
}
