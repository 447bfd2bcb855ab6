package logstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// ImportOptions configure [Import]. The zero value is ready to use.
type ImportOptions struct {
	// Renumber counts positions and versions anew instead of keeping those of
	// the lines. It is for lines that are a part of a store, or come from
	// several, or from an EventStoreDB.
	Renumber    bool
	SegmentSize int64            // bytes of a segment file; default 64 MiB, all of which is kept in memory
	MaxLine     int              // bytes of the longest line; default 64 MiB
	Now         func() time.Time // for lines that do not say when they were created; default time.Now
	Progress    func(Progress)   // Done counts the bytes read

	fs disk.FS
}

const (
	importSegment = 64 << 20
	importLine    = 64 << 20
)

func (o *ImportOptions) withDefaults() ImportOptions {
	var opts ImportOptions
	if o != nil {
		opts = *o
	}
	if opts.SegmentSize <= 0 {
		opts.SegmentSize = importSegment
	}
	opts.SegmentSize = roundUp(min(opts.SegmentSize, maxSegment))
	if opts.MaxLine <= 0 {
		opts.MaxLine = importLine
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.fs == nil {
		opts.fs = disk.OS{}
	}
	return opts
}

// An ImportReport says what was read and written.
type ImportReport struct {
	Events  uint64              `json:"events"`
	Streams int                 `json:"streams"` // metastreams included
	Bytes   int64               `json:"bytes"`   // read
	Last    eventstore.Position `json:"last"`    // position of the last event
}

// A LineError says which line of the input [Import] could not take.
type LineError struct {
	Line int // the first is 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Import makes a store in dir from the lines that [Export] writes. dir must be
// empty or not exist. Ids, streams, versions, positions, times (to 100 ns),
// types, content types, metadata and data, and with them deletions and
// tombstones, are those of the lines, so that whoever remembers a position of the old store goes on
// from it in the new one. What was one append is not kept together: no reader
// sees a difference.
//
// Positions must rise from line to line, and the versions of a stream must
// have no gaps; a stream whose beginning was removed may begin at a later
// version. A line without position, version, id or created gets the next one.
// Lines that are empty count but say nothing.
//
// A line that is not understood gives a [*LineError]. After any error, and when
// ctx is done, dir is as it was before.
func Import(ctx context.Context, dir string, r io.Reader, opts *ImportOptions) (ImportReport, error) {
	im := &importer{opts: opts.withDefaults(), versions: make(map[uint64]eventstore.Version), seed: maphash.MakeSeed()}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = im.run(ctx, dir, r)
	}
	if err != nil {
		return im.report, fmt.Errorf("import into %s: %w", dir, err)
	}
	return im.report, nil
}

// An importer reads lines and writes frames.
type importer struct {
	opts   ImportOptions
	report ImportReport
	out    *bulk

	// The last version of each stream by a hash of its name, with the top bit
	// for a tombstone: a store has many streams, and the names would take more
	// memory than all the rest.
	versions map[uint64]eventstore.Version
	seed     maphash.Seed
}

const (
	tombstoned  eventstore.Version  = 1 << 63
	maxPosition eventstore.Position = 1 << 63
)

func (im *importer) run(ctx context.Context, dir string, r io.Reader) (err error) {
	g, err := newStaging(im.opts.fs, dir)
	if err != nil {
		return err
	}
	im.out = newBulk(g, im.opts.SegmentSize)
	defer func() {
		if err != nil {
			err = errors.Join(err, im.out.abort())
		}
	}()
	if err := im.lines(ctx, r); err != nil {
		return err
	}
	return im.out.finish()
}

// lines reads r to its end.
func (im *importer) lines(ctx context.Context, r io.Reader) error {
	in := bufio.NewReaderSize(r, exportBuffer)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := readLine(in, im.opts.MaxLine)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return &LineError{n, err}
		}
		im.report.Bytes += int64(len(text))
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := im.line(text); err != nil {
				return &LineError{n, err}
			}
		}
		if last {
			return nil
		}
		if im.opts.Progress != nil && n%progressEvery == 0 {
			im.opts.Progress(Progress{Events: im.report.Events, Done: im.report.Bytes})
		}
	}
}

// readLine returns a line with its end, and io.EOF with the last.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	for whole := []byte(nil); ; {
		if len(whole)+len(text) > limit {
			return nil, fmt.Errorf("it is longer than %d bytes; set ImportOptions.MaxLine if it is an event", limit)
		}
		more := errors.Is(err, bufio.ErrBufferFull)
		if !more && whole == nil {
			return text, err
		}
		whole = append(whole, text...)
		if !more {
			return whole, err
		}
		text, err = in.ReadSlice('\n')
	}
}

// line adds one event.
func (im *importer) line(text []byte) error {
	l, e, err := parseLine(text)
	if err != nil {
		return err
	}
	if err := checkImported(l.Stream, &e); err != nil {
		return err
	}
	p := place{id: e.ID, flags: flagCommit}
	if p.id.IsZero() {
		p.id = eventstore.NewID()
	}
	if p.position, err = im.position(l.Position); err != nil {
		return err
	}
	streams := im.report.Streams
	if p.version, err = im.version(l.Stream, l.Version); err != nil {
		return err
	}
	created := im.opts.Now()
	if l.Created != nil {
		created = *l.Created
	}
	if p.created = created.UnixNano(); !time.Unix(0, p.created).Equal(created) {
		return fmt.Errorf("created %s is out of range", created.Format(time.RFC3339))
	}
	if e.Type == eventstore.TypeTombstone {
		p.flags |= flagTombstone
		im.versions[im.hash(l.Stream)] |= tombstoned
	}
	if err := im.out.put(&p, l.Stream, &e, im.report.Streams > streams); err != nil {
		return err
	}
	im.report.Events++
	im.report.Last = p.position
	return nil
}

func checkImported(stream string, e *eventstore.Event) error {
	if err := eventstore.CheckStream(stream); err != nil {
		return err
	}
	checked := *e
	if e.Type == eventstore.TypeTombstone {
		if err := streamrules.CheckMetadataStream(stream); err != nil {
			return err
		}
		checked.Type = "tombstone" // no store takes the other from its users
	}
	return eventstore.CheckEvents(stream, maxAppendSize, []eventstore.Event{checked})
}

// position returns where the next event goes.
func (im *importer) position(said eventstore.Position) (eventstore.Position, error) {
	next := im.report.Last + 1
	if im.opts.Renumber || said == 0 {
		return next, nil
	}
	if said >= maxPosition {
		return 0, fmt.Errorf("position %d is out of range; renumber the lines", said)
	}
	if said < next {
		return 0, fmt.Errorf("position %d does not follow %d of the line before; sort the lines, or renumber them", said, im.report.Last)
	}
	return said, nil
}

// version returns which one the next event of a stream has.
func (im *importer) version(stream string, said eventstore.Version) (eventstore.Version, error) {
	h := im.hash(stream)
	last := im.versions[h]
	if last&tombstoned != 0 || im.originalEnded(stream) {
		return 0, fmt.Errorf("stream %q goes on after its tombstone", stream)
	}
	if last == 0 {
		im.report.Streams++
	}
	switch next := last + 1; {
	case im.opts.Renumber || said == 0:
		said = next
	case said >= tombstoned-1:
		return 0, fmt.Errorf("version %d is out of range; renumber the lines", said)
	case said != next && last > 0:
		return 0, fmt.Errorf("version %d of stream %q where %d was due; renumber the lines if some were left out", said, stream, next)
	}
	im.versions[h] = said
	return said, nil
}

// originalEnded reports whether stream holds the metadata of one that ended.
func (im *importer) originalEnded(stream string) bool {
	orig, isMeta := strings.CutPrefix(stream, "$$")
	return isMeta && im.versions[im.hash(orig)]&tombstoned != 0
}

func (im *importer) hash(stream string) uint64 { return maphash.String(im.seed, stream) }
