package crashtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

// Slots move between the nodes of a cluster, with partitions that are worked at
// and with the keys that belong to the view as a whole.
func TestSlotsThatMoveDuringARunEndExactlyRight(t *testing.T) {
	t.Parallel()
	const nodes = 3
	c := redistest.StartClusterNodes(t, nodes)
	log := newTape("")
	require.NoError(t, log.grow(1000))
	for range 2 {
		run(t, log, c.Client(t), "")
	}
	w := watch(t, c.Client(t), "", nil)
	w.done(1000)
	stop := log.load(t, 500)
	tags := []string{"{crash}"}
	for p := range 5 {
		tags = append(tags, fmt.Sprintf("{crash:p%02d}", p))
	}
	for range 2 {
		for _, tag := range tags {
			slot := c.Slot(tag)
			to := (c.Owner(slot) + 1) % nodes
			moving := false
			c.MoveSlot(slot, to, func() {
				moving = true
				w.more(20) // the others go on while this one is between two nodes
			})
			require.True(t, moving, "keys must move")
			require.Equal(t, to, c.Owner(slot))
			w.more(50)
		}
	}
	total := stop()
	w.done(total)
	w.end()
	newViews(c.Client(t), "").exact(t, log)
}
