package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logStatsCommand struct {
	Dir string `arg:"" help:"Directory of the store."`
}

// Help implements kong.HelpProvider.
func (*logStatsCommand) Help() string {
	return `Examples:

  foldstream log stats ./events
  foldstream log stats ./events --json | jq .events`
}

// Run prints what there is.
func (c *logStatsCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	return l.with(ctx, w, c.Dir, func(store *logstore.Store) error {
		stats := store.Stats()
		if !l.table(w) {
			return newEncoder(w.out).Encode(statsOf(c.Dir, stats))
		}
		t := newTable(w.out, column{"EVENTS", true}, column{"STREAMS", true}, column{"SEGMENTS", true}, column{"SIZE", true}, column{"HEAD", true})
		err := t.add(strconv.FormatUint(stats.Events, 10), strconv.Itoa(stats.Streams), strconv.Itoa(stats.Segments), sizeText(stats.Bytes), fmt.Sprint(stats.Head))
		if err != nil {
			return err
		}
		return t.flush()
	})
}

// storeStats are the figures of a store for programs.
type storeStats struct {
	Dir      string `json:"dir"`
	Events   uint64 `json:"events"`
	Streams  int    `json:"streams"`
	Segments int    `json:"segments"`
	Bytes    int64  `json:"bytes"`
	Head     uint64 `json:"head"`
}

func statsOf(dir string, s logstore.Stats) storeStats {
	return storeStats{Dir: dir, Events: s.Events, Streams: s.Streams, Segments: s.Segments, Bytes: s.Bytes, Head: uint64(s.Head)}
}
