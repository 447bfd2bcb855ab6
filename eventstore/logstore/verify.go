package logstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
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
	Stale    int                 `json:"stale"`   // index files of an earlier generation, which a crash leaves; they are made again
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

type verifier struct {
	opts   VerifyOptions
	dir    string
	report VerifyReport

	storeID  eventstore.ID
	next     eventstore.Position           // where the next segment is due to begin; 0 when that is not known
	versions map[uint64]eventstore.Version // last ones, by a hash of the stream's name
	seed     maphash.Seed
	gaps     bool // the beginnings of streams may be missing
	done     int64
	total    int64
}

// settled repeats the whole when the files were replaced meanwhile, by a
// scavenge or a close, because what does not fit together then is no damage.
func (v *verifier) settled(ctx context.Context) error {
	const attempts = 4
	for i := 1; ; i++ {
		before, err := v.fingerprint()
		if err == nil {
			err = v.run(ctx)
		}
		if err != nil || len(v.report.Damages) == 0 || i == attempts {
			return err
		}
		after, err := v.fingerprint()
		if err != nil || bytes.Equal(before, after) {
			return err
		}
	}
}

// fingerprint returns the names of all files and how they begin. Of the last
// segment it has some events, if there are any.
func (v *verifier) fingerprint() ([]byte, error) {
	entries, err := v.opts.fs.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range entries {
		all = append(append(all, e.Name()...), 0)
		if e.Name() == lockFile {
			continue
		}
		f, err := v.opts.fs.Open(filepath.Join(v.dir, e.Name()), os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h := make([]byte, indexHeader)
		n, _ := f.ReadAt(h, 0) // what cannot be read is found later
		all = append(all, h[:n]...)
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (v *verifier) run(ctx context.Context) error {
	v.report, v.versions, v.next, v.gaps = VerifyReport{}, make(map[uint64]eventstore.Version), 1, false
	v.storeID, v.done, v.total = eventstore.ID{}, 0, 0
	paths, err := v.segments()
	if err != nil {
		return err
	}
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := &segmentCheck{v: v, path: path, last: i == len(paths)-1}
		if !w.last {
			w.following = firstOf(paths[i+1])
		}
		if err := w.run(ctx); err != nil {
			return err
		}
	}
	v.report.Streams = len(v.versions)
	return nil
}

// segments returns the segments in order, and counts what there is to read.
func (v *verifier) segments() ([]string, error) {
	entries, err := v.opts.fs.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if !segmentName.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(v.dir, e.Name())
		paths = append(paths, path)
		f, err := v.opts.fs.Open(path, os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		n, err := dataBytes(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		v.total += n
	}
	if len(paths) == 0 {
		return nil, &eventstore.InvalidError{What: "directory", Value: v.dir, Remedy: "it holds no store"}
	}
	return paths, nil
}

// dataBytes returns how much of a sparse file there is.
func dataBytes(f disk.File) (n int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	for off := int64(0); off < size; {
		from, to, err := f.Data(off)
		if err != nil {
			return 0, err
		}
		n += to - from
		off = to
	}
	return n, nil
}

func firstOf(path string) eventstore.Position {
	var first eventstore.Position
	_, _ = fmt.Sscanf(filepath.Base(path), "%d", &first) // the name has digits
	return first
}

func (v *verifier) damage(file string, off int64, index bool, format string, args ...any) {
	if len(v.report.Damages) == v.opts.Limit {
		v.report.More++
		return
	}
	v.report.Damages = append(v.report.Damages, Damage{file, off, fmt.Sprintf(format, args...), index})
}

// A segmentCheck checks one segment.
type segmentCheck struct {
	v         *verifier
	path      string
	last      bool                // of the store
	following eventstore.Position // first of the next segment

	c      *content
	t      *tail
	due    eventstore.Position // of the next frame
	broken bool                // t is not all of it
	end    int64               // behind the last commit mark
	open   int                 // frames behind it
	index  []byte              // the index file, if there is one
	closed int64               // end of the data when that was written
}

func (w *segmentCheck) run(ctx context.Context) error {
	v := w.v
	before := v.done
	v.report.Segments++
	c, size, err := w.load()
	if c == nil {
		v.next = 0
		return err
	}
	w.c = c
	if v.next > 0 && c.first != v.next {
		v.damage(w.path, 32, false, "it begins at position %d, and the segment before it ends at %d", c.first, v.next-1)
	}
	if c.header.generation > 0 {
		v.gaps = true
	}
	w.t, w.due, w.end = newTail(), c.first, headerSize
	if err := w.readIndex(); err != nil {
		return errors.Join(err, c.release())
	}
	var off int64
	err = guard(c, &off, func() error { return w.walk(ctx, &off) })
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok { // a page that cannot be read
		v.damage(w.path, corrupt.Offset, false, "%s", corrupt.Reason)
		w.broken, v.gaps, err = true, true, nil
	}
	if err == nil {
		err = w.ends()
	}
	if err == nil {
		w.compare()
	}
	v.done = before + size
	return errors.Join(err, c.release())
}

// load opens the segment. It returns nil when there is no use in going on.
func (w *segmentCheck) load() (_ *content, data int64, err error) {
	v := w.v
	f, err := v.opts.fs.Open(w.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err == nil {
		data, err = dataBytes(f)
	}
	b := make([]byte, min(headerSize, size))
	if err == nil {
		_, err = f.ReadAt(b, 0)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	h, err := decodeHeader(w.path, b)
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok {
		v.damage(w.path, corrupt.Offset, false, "%s; none of its events can be read", corrupt.Reason)
		return nil, 0, f.Close()
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	switch {
	case v.storeID.IsZero():
		v.storeID = h.storeID
	case h.storeID != v.storeID:
		v.damage(w.path, 16, false, "it belongs to another store than the first segment")
	}
	if w.path != segmentPath(v.dir, h.first) {
		v.damage(w.path, 32, false, "its name is not that of a segment that begins at position %d", h.first)
	}
	c, err := newContent(w.path, f, h, size)
	return c, data, err
}

// walk reads frames until they end.
func (w *segmentCheck) walk(ctx context.Context, off *int64) error {
	var f frame
	for *off = headerSize; ; {
		ended, reason := w.frame(&f, *off)
		switch {
		case reason != "":
			found, err := w.skip(*off, reason)
			if err != nil || found == 0 {
				return err
			}
			*off = found
			continue
		case ended:
			return nil
		}
		w.take(&f, *off)
		*off += int64(f.size)
		if w.t.events%progressEvery == 0 {
			if err := w.tell(ctx, *off); err != nil {
				return err
			}
		}
	}
}

// frame makes f the frame at off, or reports that the data ends there, or says
// what is wrong. Another process may be writing: no byte is looked at twice.
func (w *segmentCheck) frame(f *frame, off int64) (ended bool, reason string) {
	c := w.c
	if off >= c.size() || c.data[off] == 0 {
		if end, err := dataEnd(c, off); err == nil && end > off {
			return false, "zeros where an event was due"
		}
		return true, ""
	}
	if reason := f.decode(c.data[off:], &c.base, off); reason != "" {
		return false, reason
	}
	switch rewritten := c.header.generation > 0; {
	case f.position < w.due, !rewritten && f.position > w.due:
		return false, fmt.Sprintf("position %d where %d was due", f.position, w.due)
	case rewritten && f.position > c.header.last:
		return false, fmt.Sprintf("position %d in a segment that ends at %d", f.position, c.header.last)
	}
	return false, ""
}

// take counts a frame and checks what it says.
func (w *segmentCheck) take(f *frame, off int64) {
	v := w.v
	w.due = f.position + 1
	w.open++
	if f.has(flagCommit) {
		v.report.Events += uint64(w.open)
		v.report.Bytes += off + int64(f.size) - w.end
		v.report.Head = f.position
		w.end, w.open = off+int64(f.size), 0
	}
	h := maphash.Bytes(v.seed, f.stream)
	last := v.versions[h]
	switch {
	case last&tombstoned != 0:
		v.damage(w.path, off, false, "version %d of stream %q, which has ended at version %d", f.version, f.stream, last&^tombstoned)
	case f.version != last+1 && (f.version <= last || !v.gaps):
		v.damage(w.path, off, false, "version %d of stream %q where %d was due", f.version, f.stream, last+1)
	}
	if v.versions[h] = f.version; f.has(flagTombstone) {
		v.versions[h] |= tombstoned
	}
	if _, err := eventstore.ParseMetadata(string(f.meta)); err != nil {
		v.damage(w.path, off, false, "the event's metadata is not a list of pairs")
	}
	if !w.broken {
		w.t.add(w.t.entry(string(f.stream)), &frameInfo{off: off, rel: uint32(f.position - w.c.first), version: f.version, typ: string(f.typ)})
	}
}

// tell reports the progress, and whether to go on.
func (w *segmentCheck) tell(ctx context.Context, off int64) error {
	if w.v.opts.Progress != nil {
		w.v.opts.Progress(Progress{Events: w.v.report.Events, Done: min(w.v.done+off, w.v.total), Total: w.v.total})
	}
	return ctx.Err()
}

// skip returns where to go on behind what is wrong at off, or 0 when that is
// the end: of what can be read, or of what was committed.
func (w *segmentCheck) skip(off int64, reason string) (int64, error) {
	var f frame
	next, synced, err := w.search(off)
	if err != nil {
		return 0, err
	}
	if w.last && !synced && off >= w.closed {
		return 0, nil // what a crash, or a write under way, looks like
	}
	if _, reason := w.frame(&f, off); reason == "" { // a write that was under way is done
		return off, nil
	}
	w.broken, w.v.gaps = true, true
	if next == 0 {
		w.v.damage(w.path, off, false, "%s; no event behind it can be read", reason)
		return 0, nil
	}
	_ = f.decode(w.c.data[next:], &w.c.base, next) // is valid
	w.v.damage(w.path, off, false, "%s; %d bytes up to the event at position %d cannot be read", reason, next-off, f.position)
	w.end, w.open = next, 0
	w.due = f.position
	return next, nil
}

// search returns the offset of the first valid frame behind off that could
// follow, or 0, and whether one at or behind that was written when all before
// it was on the disk.
func (w *segmentCheck) search(off int64) (found int64, synced bool, err error) {
	end, err := dataEnd(w.c, off)
	if err != nil {
		return 0, false, err
	}
	var f frame
	for at := off + 1; at < end; at++ {
		if !w.plausible(w.c.data[at:end]) || f.decode(w.c.data[at:end], &w.c.base, at) != "" {
			continue
		}
		if found == 0 {
			found = at
		}
		if f.has(flagSynced) || !w.last {
			return found, true, nil
		}
		at += int64(f.size) - 1
	}
	return found, false, nil
}

// plausible reports, without the checksum, whether b may begin with a frame
// that is due or follows.
func (w *segmentCheck) plausible(b []byte) bool {
	n, k := frameLength(b)
	if k == 0 || n < minBody || n > len(b)-k-4 {
		return false
	}
	body := b[k+4:]
	rel, k := binary.Uvarint(body[17:min(len(body), 27)])
	p := w.c.first + eventstore.Position(rel)
	return k > 0 && p >= w.due && (w.following == 0 || p < w.following) && contentTypes[body[0]>>codeShift] != "" == (body[0]>>codeShift != 0)
}

// ends checks that the segment has all that was in it.
func (w *segmentCheck) ends() error {
	v, c := w.v, w.c
	ended := w.due // where the next segment begins
	if c.header.generation > 0 {
		ended = c.header.last + 1
		v.report.Removed += uint64(ended-c.first) - uint64(w.t.events)
	}
	if w.last {
		if w.end < w.closed && !w.broken {
			v.damage(w.path, w.end, false, "the data ends here, and the store was closed with data up to offset %d", w.closed)
			w.broken = true
		}
		end, err := dataEnd(c, w.end)
		v.report.Unfinished = end - w.end
		return err
	}
	if w.open > 0 && !w.broken {
		v.damage(w.path, w.end, false, "an append without its end, though later segments exist")
		w.broken = true
	}
	if ended != w.following && !w.broken {
		v.damage(w.path, w.end, false, "it ends at position %d, and the next segment begins at %d", ended-1, w.following)
	}
	v.next = w.following
	return nil
}

// readIndex reads the index file, if there is one. Of the last segment it is
// there after a clean close, and then all that it tells of was on the disk.
func (w *segmentCheck) readIndex() error {
	f, err := w.v.opts.fs.Open(indexPath(w.path), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is made when the store is opened
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	w.index = make([]byte, size)
	if err == nil {
		_, err = f.ReadAt(w.index, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if x, err := decodeIndex(w.index, w.c.stamp()); err == nil {
		w.closed = x.end
	}
	return nil
}

// compare compares the index file, if there is one, with what the segment says.
func (w *segmentCheck) compare() {
	if w.index == nil {
		return
	}
	x, err := decodeIndex(w.index, w.c.stamp())
	if errors.Is(err, errStaleIndex) {
		w.v.report.Stale++
		return
	}
	path := indexPath(w.path)
	w.v.report.Indexes++
	switch {
	case err != nil:
		w.v.damage(path, 0, true, "%v; it is made again when the store is opened", err)
	case !w.broken:
		if want := encodeIndex(w.c.stamp(), w.summary(x), w.t); !bytes.Equal(w.index, want) {
			w.v.damage(path, firstDifference(w.index, want), true, "it is not what its segment says; remove it while the store is closed")
		}
	}
}

// summary returns what the index file x has to say of the segment as a whole.
func (w *segmentCheck) summary(x *sealedIndex) indexSummary {
	sum := indexSummary{last: w.due - 1, end: w.end, events: w.t.events, born: w.t.born, metas: w.t.metas}
	if w.c.header.generation > 0 {
		sum.last = w.c.header.last
		sum.born = max(sum.born, x.born) // the events that would tell may be gone
	}
	return sum
}

func firstDifference(a, b []byte) int64 {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return int64(i)
		}
	}
	return int64(min(len(a), len(b)))
}
