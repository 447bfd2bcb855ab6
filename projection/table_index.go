package projection

import (
	"context"
	"fmt"
	"math"
)

// members is the table of an [Index]. It keeps only what waits for the commit,
// the last change of each member.
type members struct {
	name    string
	entries []Entry
	flying  []Entry           // of the batch in flight
	at      map[[2]string]int // key and member: place in entries
	past    []pastEntry       // of this event
}

type pastEntry struct {
	at   int
	was  Entry
	some bool // there was an entry
}

func (x *Index) newTable(int, bool) table {
	return &members{name: x.name, at: make(map[[2]string]int)}
}

func (x *members) startEmpty()                         {}
func (x *members) want(*op)                            {}
func (x *members) load(context.Context, Session) error { return nil }

func (x *members) apply(o *op, _ any, _ *Meta, undo bool) error {
	if math.IsNaN(o.entry.Score) {
		return fmt.Errorf("member %q under %q of %s has no score (NaN)", o.entry.Member, o.key, x.name)
	}
	id := [2]string{o.key, o.entry.Member}
	i, ok := x.at[id]
	if !ok {
		x.at[id] = len(x.entries)
		if undo {
			x.past = append(x.past, pastEntry{at: len(x.entries)})
		}
		x.entries = append(x.entries, *o.entry)
		return nil
	}
	if undo {
		x.past = append(x.past, pastEntry{at: i, was: x.entries[i], some: true})
	}
	x.entries[i] = *o.entry
	return nil
}

func (x *members) undo(o *op) {
	last := x.past[len(x.past)-1]
	x.past = x.past[:len(x.past)-1]
	if last.some {
		x.entries[last.at] = last.was
		return
	}
	delete(x.at, [2]string{o.key, o.entry.Member})
	x.entries = x.entries[:last.at] // it was the last one
}

func (x *members) settle() { x.past = x.past[:0] }

func (x *members) changes() int { return len(x.entries) }

func (x *members) flush(b *Batch) error {
	if entries := x.takeOff(); len(entries) > 0 {
		b.Indexes = append(b.Indexes, IndexChanges{Collection: x.name, Entries: entries})
	}
	return nil
}

// takeOff returns what has changed and regards it as in flight from now on.
func (x *members) takeOff() []Entry {
	x.entries, x.flying = x.flying[:0], x.entries
	clear(x.at)
	return x.flying
}

func (x *members) flushed() {
	clear(x.flying)
	x.flying = x.flying[:0]
}
