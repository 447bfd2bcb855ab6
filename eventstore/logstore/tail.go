package logstore

import (
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// blockEvents is how many events share an entry of the index by position.
const blockEvents = 64

// A block is a run of [blockEvents] frames in a segment.
type block struct {
	off uint32 // of its first frame
	rel uint32 // position of its first event, since the segment's first
}

// A tail is the index of a segment in memory: of the last one, which grows,
// and of one whose index file is not written yet. The leader changes it; what
// readers may see is guarded by Store.mu until the segment is sealed, and then
// no longer changes.
type tail struct {
	streams map[string]*stream
	blocks  []block
	mask    []uint64 // kinds in each block; the leader's
	kinds   kindTable
	events  int
	born    int // streams whose first event is here
	metas   int // events of metastreams
	last    eventstore.Position

	tags   map[uint64][]uint32 // offsets by the hash of a tag; guarded by Store.mu, and nil while there are none
	tagged int                 // offsets in tags
}

func newTail() *tail { return &tail{streams: make(map[string]*stream)} }

// A stream is what a tail knows of one stream. The leader decides on what it
// has written or is about to write; readers see what is published.
type stream struct {
	name  string
	first eventstore.Version // of added[0], also when that is still to come

	next  streamrules.State // the leader's
	added []uint32          // offsets in the segment by version - first; the leader's

	state streamrules.State // guarded by Store.mu
	offs  []uint32          // a prefix of added; guarded by Store.mu

	// complete says that state and next tell all of the stream. Otherwise, which
	// is so only for what was there when the store was opened, what earlier
	// segments say is still to be asked for: the metadata, and the rest too when
	// there are no events here.
	complete bool
	hasMeta  bool // the metadata is known all the same
}

// add notes an event of st at off. The leader calls it, or who builds a tail.
func (t *tail) add(st *stream, f *frameInfo) {
	if t.events%blockEvents == 0 {
		t.blocks = append(t.blocks, block{uint32(f.off), f.rel})
		t.mask = append(t.mask, 0)
	}
	t.mask[len(t.mask)-1] |= 1 << t.kinds.of(st.name, f.typ)
	t.events++
	if len(st.added) == 0 {
		if st.first == 0 {
			st.first = f.version
		}
		if f.version == 1 {
			t.born++
		}
	}
	st.added = append(st.added, uint32(f.off))
	if _, isMeta := streamrules.Original(st.name); isMeta {
		t.metas++
	}
	if f.meta.MayHaveTags() {
		t.tag(f.meta, f.off)
	}
}

// frameInfo is what a tail keeps of a frame.
type frameInfo struct {
	off     int64
	rel     uint32 // position since the segment's first
	version eventstore.Version
	typ     string              // may share memory that changes later
	meta    eventstore.Metadata // for the tags; may share memory that changes later
}

// full reports whether the tail is so large that its segment should end.
func (t *tail) full() bool {
	return t.events >= maxTailEvents || len(t.streams) >= maxTailStreams || len(t.tags) >= maxTailTags || t.tagged >= maxTailTagged
}

// What is in memory of one segment is bounded by these.
const (
	maxTailEvents  = 1 << 20
	maxTailStreams = 1 << 18
	maxTailTags    = 1 << 18
	maxTailTagged  = 1 << 22
)

// A kind is a category of streams and a type of events. Events of the same
// kind are the same to most filters.
type kind struct{ category, typ string }

// maxKinds is how many kinds a segment tells apart; all further ones share the
// last bit.
const maxKinds = 64

// A kindTable numbers kinds. They are few, and looked for one after the other.
type kindTable []kind

// of returns the bit of a kind.
func (k *kindTable) of(stream, typ string) uint8 {
	category, _ := eventstore.SplitStream(stream)
	for i, have := range *k {
		if have.typ == typ && have.category == category {
			return uint8(i)
		}
	}
	if len(*k) == maxKinds-1 {
		return maxKinds - 1
	}
	*k = append(*k, kind{strings.Clone(category), strings.Clone(typ)})
	return uint8(len(*k) - 1)
}

// hashName returns the hash by which a stream is found in an index file.
func hashName(stream string) uint64 { return xxhash.Sum64String(stream) }

// hashTag is hashName for tags. Its lower half is 0, because a directory tells
// apart no more than the upper one, and tags that share that share a list.
func hashTag(tag string) uint64 { return hashName(tag) &^ math.MaxUint32 }

// tag notes the tags of an event at off.
func (t *tail) tag(m eventstore.Metadata, off int64) {
	for tag := range m.Tags() {
		if t.tags == nil {
			t.tags = make(map[uint64][]uint32)
		}
		hash := hashTag(tag)
		offs := t.tags[hash]
		if n := len(offs); n == 0 || offs[n-1] != uint32(off) { // metadata of others may repeat a tag
			t.tags[hash] = append(offs, uint32(off))
			t.tagged++
		}
	}
}

// planTags returns the directory of the tags.
func (t *tail) planTags() directoryPlan {
	if len(t.tags) == 0 {
		return directoryPlan{}
	}
	entries := make([]posted, 0, len(t.tags))
	for hash, offs := range t.tags {
		entries = append(entries, posted{hash, offs})
	}
	return planDirectory(entries)
}
