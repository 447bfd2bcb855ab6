package logstore

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// Who completes what a tail says of a stream looks at the segments before it.
// If that tail is sealed meanwhile, what was found is not the whole truth.
func TestTheCacheTakesTheWholePastOnly(t *testing.T) {
	t.Parallel()
	c := stateCache{limit: 10, covers: 1}
	c.put("s", streamrules.State{Last: 3}, 1)
	sealed := newTail()
	sealed.streams["s"] = &stream{name: "s", state: streamrules.State{Last: 6}} // that was there at open
	c.absorb(sealed)
	_, ok := c.get("s")
	assert.False(t, ok)
	c.put("s", streamrules.State{Last: 3}, 1)
	_, ok = c.get("s")
	assert.False(t, ok, "it is from before the segment")
	c.put("s", streamrules.State{Last: 6}, 2)
	st, ok := c.get("s")
	assert.True(t, ok)
	assert.EqualValues(t, 6, st.Last)
}
