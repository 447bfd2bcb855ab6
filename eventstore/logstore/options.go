package logstore

import (
	"log/slog"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A SyncPolicy says when what was written is forced to the disk. A crash of
// the process alone loses nothing under any of them.
type SyncPolicy uint8

const (
	// SyncAlways syncs before an append is acknowledged.
	SyncAlways SyncPolicy = iota
	// SyncInterval syncs with the first write that comes [Options.SyncEvery]
	// after the last sync, and on Close. A crash of the system may cost the
	// writes since the last sync, which is longer ago than SyncEvery when
	// nothing was written meanwhile. [Open] cuts from the first that is torn.
	SyncInterval
	// SyncNever leaves it to the system, but for Close and the end of a segment.
	// A crash of the system may cost the whole last segment.
	SyncNever
)

// Options configure a [Store]. The zero value is ready to use.
type Options struct {
	Sync          SyncPolicy       // default SyncAlways
	SyncEvery     time.Duration    // for SyncInterval; default 100ms
	SegmentSize   int64            // bytes of a segment file, sparse; default 256 MiB, at most 4 GiB
	MaxAppendSize int              // bytes in one append; default eventstore.DefaultMaxAppendSize, at most 1 GiB
	Now           func() time.Time // the store's clock; default time.Now
	Logger        *slog.Logger     // default discards

	// StreamCache is how many streams the store remembers the state of, beside
	// those in the last segment; default 262,144, some 150 bytes each.
	StreamCache int

	// ReadOnly opens what is committed at that moment and changes nothing. It
	// takes no lock, so that another process may write. What comes later is not
	// seen; writes give [eventstore.ErrUnavailable].
	ReadOnly bool

	fs disk.FS // default that of the machine
}

const (
	defaultSegmentSize = 256 << 20
	defaultStreamCache = 1 << 18
	maxAppendSize      = 1 << 30
	pageSize           = 4096
	frameOverhead      = 64 // bytes of a frame besides names, metadata and data, roughly
	overheadFactor     = 16 // how far names may go beyond MaxAppendSize
)

// withDefaults returns a copy of o with every field set.
func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.SyncEvery <= 0 {
		opts.SyncEvery = 100 * time.Millisecond
	}
	if opts.SegmentSize <= 0 {
		opts.SegmentSize = defaultSegmentSize
	}
	opts.SegmentSize = roundUp(min(opts.SegmentSize, maxSegment))
	if opts.MaxAppendSize <= 0 {
		opts.MaxAppendSize = eventstore.DefaultMaxAppendSize
	}
	opts.MaxAppendSize = min(opts.MaxAppendSize, maxAppendSize)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.StreamCache <= 0 {
		opts.StreamCache = defaultStreamCache
	}
	if opts.fs == nil {
		opts.fs = disk.OS{}
	}
	return opts
}

// roundUp returns n rounded up to whole pages.
func roundUp(n int64) int64 { return (n + pageSize - 1) / pageSize * pageSize }
