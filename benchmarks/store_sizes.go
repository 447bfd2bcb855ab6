package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const (
	rowMemoryFilled = "memory, process that wrote the log"
	rowMemoryOpened = "memory, process that opened the log"
	rowGrowthFilled = "growth of memory, process that wrote the log"
	rowGrowthOpened = "growth of memory, process that opened the log"
	rowDisk         = "disk beyond payload, names and metadata, per event"
)

// sizes measures what the log takes in memory and on the disk.
func (b *bigLog) sizes(ctx context.Context) error {
	if b.wants(rowDisk) {
		v, err := b.overhead(ctx)
		if err != nil {
			return err
		}
		b.samples[rowDisk] = []float64{v}
	}
	if !b.wants(rowMemoryOpened) && !b.wants(rowMemoryFilled) && !b.wants(rowGrowthOpened) && !b.wants(rowGrowthFilled) {
		return nil
	}
	opened, err := b.use(ctx, 0, 0)
	if err != nil {
		return err
	}
	b.keepUse(rowMemoryOpened, opened)
	if b.grow == 0 || !b.wants(rowGrowthOpened) && !b.wants(rowGrowthFilled) {
		return nil
	}
	grown, err := b.use(ctx, b.events, b.grow)
	if err != nil {
		return err
	}
	if b.filled != nil {
		b.grew(rowGrowthFilled, *b.filled, grown)
	}
	again, err := b.use(ctx, 0, 0)
	if err != nil {
		return err
	}
	b.grew(rowGrowthOpened, opened, again)
	return nil
}

func (b *bigLog) keepUse(row string, u memoryUse) {
	if !b.wants(row) {
		return
	}
	b.samples[row] = u.Anonymous
	b.note(row, "at most %s at any time, %s after a collection", human(u.Peak), human(u.Settled))
}

func (b *bigLog) grew(row string, from, to memoryUse) {
	if !b.wants(row) {
		return
	}
	b.samples[row] = []float64{to.Settled - from.Settled}
	b.note(row, "from %s to %s events, after a collection %s to %s, before it %s to %s, at most %s", human(float64(b.events)), human(float64(b.grow)),
		human(from.Settled), human(to.Settled), human(race.Median(from.Anonymous)), human(race.Median(to.Anonymous)), human(to.Peak))
}

// overhead returns the bytes on the disk for each event beyond what was
// stored.
func (b *bigLog) overhead(ctx context.Context) (float64, error) {
	var content, events float64
	err := b.opened(func(store *logstore.Store) error {
		for e, err := range store.ReadAll(ctx, eventstore.ReadAllOptions{}) {
			if err != nil {
				return err
			}
			content += float64(len(e.Data) + len(e.Type) + len(e.Stream) + e.Metadata.Size())
			events++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	disk, err := diskUse(b.dir)
	b.note(rowDisk, "%s on the disk, %.0f events of %.0f bytes", human(disk), events, content/events)
	return (disk - content) / events, err
}

// diskUse returns the bytes of all blocks that the files in dir have.
func diskUse(dir string) (total float64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s: the system does not tell its blocks", d.Name())
		}
		total += float64(st.Blocks) * 512
		return nil
	})
	return total, err
}
