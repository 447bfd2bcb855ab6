package logstore

import (
	"encoding/binary"

	"github.com/foldstream/foldstream/eventstore"
)

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
