package logstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// Tags whose hashes no index tells apart are told apart all the same, in
// memory and in index files.
func TestTagsThatShareAHash(t *testing.T) {
	t.Parallel()
	seen := make(map[uint64]string)
	var a, b string
	for i := 0; a == ""; i++ {
		b = fmt.Sprint("tag:", i)
		a = seen[hashTag(b)]
		seen[hashTag(b)] = b
	}
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	for i, tags := range [][]string{{a}, {b}, {a, b}, {b, "c"}} {
		m, err := eventstore.Metadata{}.WithTags(tags...)
		require.NoError(t, err)
		_, err = s.AppendIf(ctx, fmt.Sprint("s-", i), eventstore.Condition{Query: eventstore.Query{{Tags: tags}}}, eventstore.Event{Type: "t", Metadata: m})
		require.NoError(t, err, "%v", tags)
	}
	check := func() {
		t.Helper()
		for tag, want := range map[string][]eventstore.Position{a: {1, 3}, b: {2, 3, 4}} {
			var got []eventstore.Position
			for r, err := range s.ReadQuery(ctx, eventstore.Query{{Tags: []string{tag}}}, eventstore.ReadQueryOptions{}) {
				require.NoError(t, err)
				got = append(got, r.Position)
			}
			assert.Equal(t, want, got)
		}
	}
	check()
	require.NoError(t, s.roll(1<<20)) // nobody else is at work
	s.sealer.work.Wait()
	require.NotNil(t, s.segs[0].content.Load().index.Load())
	check()
	require.NoError(t, s.Close())
}
