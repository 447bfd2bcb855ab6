package logstore

import (
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foldstream/foldstream/eventstore"
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
	SegmentSize   int64            // bytes of a segment file, sparse; default 256 MiB, at most 16 GiB
	MaxAppendSize int              // bytes in one append; default eventstore.DefaultMaxAppendSize, at most 1 GiB
	Now           func() time.Time // the store's clock; default time.Now
	Logger        *slog.Logger     // default discards

	hooks *hooks
}

// hooks replace what touches the disk, for tests.
type hooks struct {
	write func(f *os.File, b []byte, off int64) (int, error)
	sync  func(f *os.File) error
}

const (
	defaultSegmentSize = 256 << 20
	maxSegmentSize     = 16 << 30
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
	opts.SegmentSize = roundUp(min(opts.SegmentSize, maxSegmentSize), pageSize)
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
	if opts.hooks == nil {
		opts.hooks = &hooks{
			write: func(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) },
			sync:  func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) },
		}
	}
	return opts
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
