package codec_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

type about struct{ Course string }

func (e about) Tags() []string { return []string{"kind:about", eventstore.Tag("course", e.Course)} }

func TestTagsGoIntoTheMetadata(t *testing.T) {
	t.Parallel()
	c := codec.New(codec.Type[about]("about"))
	e, err := c.Encode(about{"c1"})
	require.NoError(t, err)
	assert.Equal(t, "course:c1,kind:about", e.Metadata.Get(eventstore.KeyTags))
	_, err = c.Encode(about{"a,b"})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.ErrorContains(t, err, `encode "about"`)
}
