package projection

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A lane that ends while its view is let go of is counted once, or the reader
// would end while others still need it.
func TestAReaderCountsLanesThatEndOnce(t *testing.T) {
	t.Parallel()
	opts, err := (*Options)(nil).withDefaults()
	require.NoError(t, err)
	h := &hub{opts: &opts, spawn: func(rd *reader, prepare func()) {
		rd.stop = func() {}
		prepare()
	}}
	var lanes []*lane
	for _, view := range []string{"fast", "slow"} {
		pl := &pipeline{p: &Projection{name: view}, version: VersionInfo{Partitions: 3}}
		for i := range 3 {
			lanes = append(lanes, &lane{pl: pl, index: i, queue: newQueue(1, 0)})
		}
	}
	ended := false
	h.begin(lanes)
	rd := h.readers[0]
	rd.stop = func() { ended = true }
	require.EqualValues(t, 6, rd.count.Load())

	gone := lanes[4] // its reader has not noticed yet
	close(gone.queue.ended)
	require.True(t, rd.leave(gone))
	require.False(t, rd.leave(gone))
	rd.letGo(rd.ports[1])
	require.EqualValues(t, 3, rd.count.Load(), "those of the fast view")
	require.EqualValues(t, 2, h.readers[1].count.Load())
	for _, l := range lanes[:2] {
		close(l.queue.ended)
		rd.leave(l)
	}
	require.False(t, ended, "one lane still reads")
	rd.leave(lanes[2])
	require.True(t, ended)

	h.begin([]*lane{gone}) // it ended before it had a reader
	require.Zero(t, h.readers[2].count.Load())
}
