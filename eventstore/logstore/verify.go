package logstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"path/filepath"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// VerifyOptions configure [Verify]. The zero value is ready to use.
type VerifyOptions struct {
	Limit    int            // at most so many damages are listed; default 100
	Progress func(Progress) // in bytes

	fs disk.FS
}

const defaultDamages = 100

// A Damage is one place where a store is not what was written.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"` // bytes from the start of File
	Reason string `json:"reason"`
	// Index is set for an index file. No event is lost: the file can be removed
	// while nobody has the store open, and is made again when it is opened.
	Index bool `json:"index"`
}

func (d Damage) String() string { return fmt.Sprintf("%s, offset %d: %s", d.File, d.Offset, d.Reason) }

// A VerifyReport says what was looked at and found.
type VerifyReport struct {
	Segments int                 `json:"segments"`
	Indexes  int                 `json:"indexes"` // files that were compared with their segments
	Stale    int                 `json:"stale"`   // index files of an earlier generation, which a crash leaves, or format; they are made again
	Streams  int                 `json:"streams"` // metastreams included
	Events   uint64              `json:"events"`
	Removed  uint64              `json:"removed"` // positions whose events a scavenge has removed
	Bytes    int64               `json:"bytes"`   // of events
	Head     eventstore.Position `json:"head"`    // position of the last event
	// Unfinished counts the bytes behind the last append: one that is being
	// written, or that a crash has torn. Opening for writing cuts them. They
	// are no damage.
	Unfinished int64    `json:"unfinished"`
	Damages    []Damage `json:"damages"`
	More       int      `json:"more"` // damages that are not listed
}

// Verify reads all of the store in dir and checks every checksum, the order of
// positions, the versions of every stream, the commit marks, and that every
// index file is what its segment says. It goes on behind a damage, so that all
// are found, and changes nothing. The store may be open, also for writing, by
// this process or another one; then it checks what is committed.
//
// When it found damages the error matches [eventstore.ErrCorrupt] and the
// report lists them. It needs about 40 bytes of memory for each stream, and the
// index of one segment.
func Verify(ctx context.Context, dir string, opts *VerifyOptions) (VerifyReport, error) {
	v := &verifier{seed: maphash.MakeSeed()}
	if opts != nil {
		v.opts = *opts
	}
	if v.opts.Limit <= 0 {
		v.opts.Limit = defaultDamages
	}
	if v.opts.fs == nil {
		v.opts.fs = disk.OS{}
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		v.dir = dir
		err = v.settled(ctx)
	}
	if n := len(v.report.Damages); err == nil && n > 0 {
		err = fmt.Errorf("%w: %d times, the first: %s", eventstore.ErrCorrupt, n+v.report.More, v.report.Damages[0])
	}
	if err != nil {
		return v.report, fmt.Errorf("verify %s: %w", dir, err)
	}
	return v.report, nil
}
