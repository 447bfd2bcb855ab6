package cli

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logStatsCommand struct {
	Dir      string `arg:"" help:"Directory of the store."`
	Segments bool   `short:"s" help:"A line for each segment."`
	Dead     bool   `help:"Also say what a scavenge would remove, which reads all sealed segments."`
}

// Help implements kong.HelpProvider.
func (*logStatsCommand) Help() string {
	return `EVENTS counts those in the log, REMOVED those that scavenges have removed; HEAD is
the position of the last event. SIZE is of events, INDEX of the index files.
MEMORY is what the index takes in a process that has just opened the store. The
store may be in use.

Examples:

  foldstream log stats ./events
  foldstream log stats ./events --segments
  foldstream log stats ./events --dead --json | jq .dead_bytes`
}

// Run prints what there is.
func (c *logStatsCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	return l.with(ctx, w, c.Dir, readOnly, func(store *logstore.Store) error {
		in := store.Inspect()
		var dead *logstore.ScavengeReport
		if c.Dead {
			report, err := l.scavenge(ctx, store, w, &logstore.ScavengeOptions{All: true, DryRun: true})
			if err != nil {
				return err
			}
			dead = &report
		}
		switch {
		case !l.table(w):
			return newEncoder(w.out).Encode(statsOf(c, in, dead))
		case c.Segments:
			return c.segments(in, w)
		}
		return c.summary(in, dead, w)
	})
}

func (c *logStatsCommand) summary(in logstore.Inspection, dead *logstore.ScavengeReport, w *world) error {
	columns := []column{{"EVENTS", true}, {"REMOVED", true}, {"STREAMS", true}, {"HEAD", true}, {"SEGMENTS", true}, {"SIZE", true}, {"INDEX", true}, {"MEMORY", true}}
	cells := []string{
		strconv.FormatUint(in.Events, 10), strconv.FormatUint(in.Removed, 10), strconv.Itoa(in.Streams), strconv.FormatUint(uint64(in.Head), 10),
		strconv.Itoa(in.Segments), sizeText(in.Bytes), sizeText(in.IndexBytes), sizeText(in.Memory),
	}
	if dead != nil {
		columns = append(columns, column{"DEAD EVENTS", true}, column{"DEAD SIZE", true})
		cells = append(cells, strconv.FormatUint(dead.Events, 10), sizeText(dead.Bytes))
	}
	t := newTable(w.out, columns...)
	if err := t.add(cells...); err != nil {
		return err
	}
	return t.flush()
}

func (c *logStatsCommand) segments(in logstore.Inspection, w *world) error {
	t := newTable(w.out, column{title: "SEGMENT"}, column{"FIRST", true}, column{"LAST", true}, column{"EVENTS", true}, column{"REMOVED", true},
		column{"SIZE", true}, column{"INDEX", true}, column{"SCAVENGES", true}, column{title: "STATE"})
	for i := range in.Files {
		f := &in.Files[i]
		state := "sealed"
		if !f.Sealed {
			state = "grows"
		}
		err := t.add(filepath.Base(f.File), strconv.FormatUint(uint64(f.First), 10), strconv.FormatUint(uint64(f.Last), 10), strconv.FormatUint(f.Events, 10),
			strconv.FormatUint(f.Removed(), 10), sizeText(f.Bytes), sizeText(f.IndexBytes), strconv.FormatUint(uint64(f.Generation), 10), state)
		if err != nil {
			return err
		}
	}
	return t.flush()
}

// storeStats are the figures of a store for programs.
type storeStats struct {
	Dir        string        `json:"dir"`
	Events     uint64        `json:"events"`
	Removed    uint64        `json:"removed"`
	Streams    int           `json:"streams"`
	Head       uint64        `json:"head"`
	Segments   int           `json:"segments"`
	Bytes      int64         `json:"bytes"`
	IndexBytes int64         `json:"index_bytes"`
	Memory     int64         `json:"memory"`
	DeadEvents *uint64       `json:"dead_events,omitempty"`
	DeadBytes  *int64        `json:"dead_bytes,omitempty"`
	Files      []segmentLine `json:"files,omitempty"`
}

type segmentLine struct {
	File       string `json:"file"`
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	Events     uint64 `json:"events"`
	Removed    uint64 `json:"removed"`
	Bytes      int64  `json:"bytes"`
	IndexBytes int64  `json:"index_bytes"`
	Generation uint32 `json:"generation"`
	Sealed     bool   `json:"sealed"`
}

func statsOf(c *logStatsCommand, in logstore.Inspection, dead *logstore.ScavengeReport) storeStats {
	s := storeStats{
		Dir: c.Dir, Events: in.Events, Removed: in.Removed, Streams: in.Streams, Head: uint64(in.Head),
		Segments: in.Segments, Bytes: in.Bytes, IndexBytes: in.IndexBytes, Memory: in.Memory,
	}
	if dead != nil {
		s.DeadEvents, s.DeadBytes = &dead.Events, &dead.Bytes
	}
	for i := range in.Files {
		if f := &in.Files[i]; c.Segments {
			s.Files = append(s.Files, segmentLine{
				f.File, uint64(f.First), uint64(f.Last), f.Events, f.Removed(), f.Bytes, f.IndexBytes, f.Generation, f.Sealed,
			})
		}
	}
	return s
}
