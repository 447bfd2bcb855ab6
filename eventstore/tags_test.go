package eventstore_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestTags(t *testing.T) {
	t.Parallel()
	plain := eventstore.NewMetadata("actor", "ada", "tenant", "t-1", "zone", "x")
	assert.Empty(t, slices.Collect(plain.Tags()))
	same, err := plain.WithTags()
	require.NoError(t, err)
	assert.Equal(t, plain, same)
	m, err := plain.WithTags("student:s9", "course:c1", "course:c1")
	require.NoError(t, err)
	assert.Equal(t, "course:c1,student:s9", m.Get(eventstore.KeyTags))
	assert.Equal(t, "ada", m.Get("actor"))
	m, err = m.WithTags("a b", "course:c1")
	require.NoError(t, err)
	assert.Equal(t, []string{"a b", "course:c1", "student:s9"}, slices.Collect(m.Tags()))
	assert.True(t, m.HasTag("course:c1"))
	assert.False(t, m.HasTag("course:c"))
	assert.False(t, m.HasTag(""))
	for tag := range m.Tags() {
		assert.Equal(t, "a b", tag)
		break
	}
	odd := eventstore.NewMetadata("key", "\x04tags", eventstore.KeyTags, ",b,,a,")
	assert.Equal(t, []string{"b", "a"}, slices.Collect(odd.Tags()))
	assert.Empty(t, slices.Collect(eventstore.NewMetadata("key", "\x04tags\x01a").Tags()), "a value that looks like the key")
}

func TestTagsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"", "a,b", "a\nb", "a\x00", " a", "a ", "\xff", strings.Repeat("x", eventstore.MaxTag+1)} {
		require.ErrorIs(t, eventstore.CheckTag(tag), eventstore.ErrInvalid, "%q", tag)
		_, err := eventstore.Metadata{}.WithTags("good", tag)
		require.ErrorIs(t, err, eventstore.ErrInvalid, "%q", tag)
	}
	require.NoError(t, eventstore.CheckTag(strings.Repeat("x", eventstore.MaxTag)))
	require.NoError(t, eventstore.CheckTag(eventstore.Tag("user", "größe 🙂@example.org")))
}

func TestTagsAllocateNothing(t *testing.T) {
	without := eventstore.NewMetadata("$correlationId", "c-1", "command_id", "c-2")
	with, err := without.WithTags("course:c1", "student:s9")
	require.NoError(t, err)
	q := eventstore.Query{{Types: []string{"a", "b"}}, {Tags: []string{"student:s9", "course:c1"}}}
	n := 0
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for range without.Tags() {
			n++
		}
		for range with.Tags() {
			n++
		}
		if !q.Matches("c", with) || q.Matches("c", without) {
			n = -1
		}
	}))
	assert.Positive(t, n)
}

func TestQueryString(t *testing.T) {
	t.Parallel()
	q := eventstore.Query{{}, {Types: []string{"a", "b"}}, {Tags: []string{"x", "y"}}, {Types: []string{"a"}, Tags: []string{"z"}}}
	assert.Equal(t, "any event, or type a or b, or tag x and y, or type a with tag z", q.String())
	err := &eventstore.ConditionError{Stream: "user-1", Condition: eventstore.Condition{Query: q[2:3], After: 7}, Position: 9}
	assert.Equal(t, `eventstore: append to stream "user-1": the event at position 9 matches tag x and y, and none after position 7 may; read again and decide anew`, err.Error())
}

type wrapped struct {
	eventstore.Store
	inner eventstore.Store
}

func (w wrapped) Unwrap() eventstore.Store { return w.inner }

func TestAsConditional(t *testing.T) {
	t.Parallel()
	mem := memstore.New(nil)
	c, err := eventstore.AsConditional(wrapped{mem, wrapped{mem, mem}})
	require.NoError(t, err)
	assert.Same(t, mem, c)
	_, err = eventstore.AsConditional(wrapped{inner: struct{ eventstore.Store }{mem}})
	require.ErrorIs(t, err, eventstore.ErrUnsupported)
	assert.ErrorContains(t, err, "struct { eventstore.Store } cannot read by query and append on a condition; use logstore")
}

func TestFaultyIsConditional(t *testing.T) {
	t.Parallel()
	f := eventstoretest.NewFaulty(memstore.New(nil))
	c, err := eventstore.AsConditional(f)
	require.NoError(t, err)
	condition := eventstore.Condition{Query: eventstore.Query{{Types: []string{"t"}}}}
	e := eventstore.Event{ID: eventstore.NewID(), Type: "t"}
	f.FailAppend(1, true)
	_, err = c.AppendIf(context.Background(), "a-1", condition, e)
	require.ErrorIs(t, err, eventstoretest.ErrInjected)
	r, err := c.AppendIf(context.Background(), "a-1", condition, e)
	require.NoError(t, err)
	assert.True(t, r.Repeated)
	f.FailRead(1)
	n := 0
	for _, err = range c.ReadQuery(context.Background(), condition.Query, eventstore.ReadQueryOptions{}) {
		n++
	}
	assert.Equal(t, 2, n)
	require.ErrorIs(t, err, eventstoretest.ErrInjected)
	_, err = eventstoretest.NewFaulty(struct{ eventstore.Store }{f}).AppendIf(context.Background(), "a-1", condition, e)
	require.ErrorIs(t, err, eventstore.ErrUnsupported)
}

// Whatever metadata says, its tags are what it takes to find the event again,
// and what WithTags writes comes back.
func FuzzTags(f *testing.F) {
	f.Add("course:c1,student:s9", "a")
	f.Add(",,b,a,", "a,b")
	f.Add("\x04tags", "größe 🙂")
	f.Fuzz(func(t *testing.T, value, tag string) {
		m := eventstore.NewMetadata("a", value, eventstore.KeyTags, value, "z", value)
		for tag := range m.Tags() {
			assert.True(t, m.HasTag(tag) && tag != "" && !strings.Contains(tag, ","))
		}
		with, err := m.WithTags(tag)
		if err != nil {
			assert.ErrorIs(t, eventstore.CheckTag(tag), eventstore.ErrInvalid)
			assert.Equal(t, m, with)
			return
		}
		all := slices.Collect(with.Tags())
		assert.True(t, slices.IsSorted(all))
		assert.Contains(t, all, tag)
		for tag := range m.Tags() {
			assert.Contains(t, all, tag)
		}
		again, err := eventstore.ParseMetadata(with.Encoded())
		require.NoError(t, err)
		assert.Equal(t, all, slices.Collect(again.Tags()))
		assert.Equal(t, value, with.Get("a")+with.Get("z")[len(value):])
	})
}
