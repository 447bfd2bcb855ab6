package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// scavenge frees the space of hidden events every so often until ctx is done.
// What fails is tried again the next time.
func (c *serveCommand) scavenge(ctx context.Context, store eventstore.Store, log *slog.Logger) {
	files, ok := store.(*logstore.Store)
	if !ok || c.ScavengeEvery == 0 {
		return
	}
	tick := time.NewTicker(c.ScavengeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		report, err := files.Scavenge(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("the scavenge failed; it is tried again", "in", c.ScavengeEvery, "error", err)
		default:
			log.Info("scavenged", "events", report.Events, "bytes", report.Bytes, "segments", report.Rewritten)
		}
	}
}
