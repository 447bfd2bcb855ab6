package logstore

import (
	"bytes"
	"cmp"
	"errors"
	"hash/crc32"
	"math/bits"
	"slices"
	"sort"

	"github.com/foldstream/foldstream/eventstore"
)

// An index file tells where in a sealed segment the events of a stream are, and
// where to begin for a position. It never changes, and can be made again from
// its segment at any time. docs/log-format.md specifies it.
//
//	header, 128 bytes
//	  0 magic "foldidx\n"           72 blocks, uint32
//	  8 format version, uint32      76 kinds, uint32
//	 12 zero                        80 streams that begin here, uint32
//	 16 store id                    84 events of metastreams, uint32
//	 32 first position              88 bytes of the filter, uint32
//	 40 last position               92 bytes of the kinds, uint32
//	 48 end of the data             96 log2 of the buckets, uint32
//	 56 CRC of the segment's header
//	 60 events, uint32             120 CRC-32C of what follows the header
//	 64 streams, uint32            124 CRC-32C of bytes 0 to 123
//	 68 zero
//	filter
//	blocks     offset, position since the first: 2 uint32 each, and one of zeros
//	masks      kinds in each block: uint64 each
//	postings   offset of each event, by stream and version: uint32 each
//	directory  hash of the stream's name (upper 32 bits), first posting: 2 uint32 each, sorted by hash, and one for the end
//	buckets    first entry of the directory for each value of the first bits of the hash: uint32 each, and one for the end
//	kinds      category and type, each with its length before it: uint16
const (
	indexHeader  = 128
	indexMagic   = "foldidx\n"
	indexVersion = 1
)

// An indexStamp says which segment an index file is of. A file with another
// stamp is stale.
type indexStamp struct {
	storeID eventstore.ID
	first   eventstore.Position
	seed    uint32 // the CRC of the segment's header, which its generation is part of
}

// An indexSummary is what an index file says of its segment as a whole.
type indexSummary struct {
	last   eventstore.Position
	end    int64
	events int
	born   int // streams whose first event was ever here
	metas  int
}

// encodeIndex returns the index file of a segment that t describes.
func encodeIndex(stamp indexStamp, sum indexSummary, t *tail) []byte {
	type entry struct {
		hash uint64
		st   *stream
	}
	entries := make([]entry, 0, len(t.streams))
	for name, st := range t.streams {
		if len(st.added) > 0 {
			entries = append(entries, entry{hashName(name), st})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })

	filter := newBloom(len(entries))
	for _, e := range entries {
		filter.add(e.hash)
	}
	var kinds []byte
	for _, k := range t.kinds {
		kinds = appendString(appendString(kinds, k.category), k.typ)
	}
	log2 := bits.Len(uint(len(entries)) / 4)
	size := indexHeader + len(filter) + 8*(len(t.blocks)+1) + 8*len(t.mask) + 4*t.events + 8*(len(entries)+1) + 4*(1<<log2+1) + len(kinds)
	b := make([]byte, indexHeader, size)
	b = append(b, filter...)
	for _, bl := range t.blocks {
		b = le.AppendUint32(le.AppendUint32(b, bl.off), bl.rel)
	}
	b = le.AppendUint64(b, 0)
	for _, m := range t.mask {
		b = le.AppendUint64(b, m)
	}
	for _, e := range entries {
		for _, off := range e.st.added {
			b = le.AppendUint32(b, off)
		}
	}
	posting := 0
	for _, e := range entries {
		b = le.AppendUint32(le.AppendUint32(b, uint32(e.hash>>32)), uint32(posting))
		posting += len(e.st.added)
	}
	b = le.AppendUint32(le.AppendUint32(b, 1<<32-1), uint32(posting))
	for bucket, i := 0, 0; bucket <= 1<<log2; bucket++ {
		for i < len(entries) && bucketOf(entries[i].hash, log2) < bucket {
			i++
		}
		b = le.AppendUint32(b, uint32(i))
	}
	b = append(b, kinds...)

	copy(b, indexMagic)
	le.PutUint32(b[8:], indexVersion)
	copy(b[16:], stamp.storeID[:])
	le.PutUint64(b[32:], uint64(stamp.first))
	le.PutUint64(b[40:], uint64(sum.last))
	le.PutUint64(b[48:], uint64(sum.end))
	le.PutUint32(b[56:], stamp.seed)
	for i, n := range []int{sum.events, len(entries), 0, len(t.blocks), len(t.kinds), sum.born, sum.metas, len(filter), len(kinds), log2} {
		le.PutUint32(b[60+4*i:], uint32(n))
	}
	le.PutUint32(b[120:], crc32.Checksum(b[indexHeader:], castagnoli))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

func bucketOf(hash uint64, log2 int) int { return int(hash >> (64 - log2)) } // 0 when log2 is 0

func appendString(b []byte, s string) []byte {
	return append(le.AppendUint16(b, uint16(len(s))), s...)
}

// A sealedIndex is an index file in memory, as a rule a mapping.
type sealedIndex struct {
	indexSummary
	filter    bloom
	blocks    []byte
	masks     []byte
	postings  []byte
	directory []byte
	buckets   []byte
	log2      int
	kinds     kindTable
	size      int
}

// errStaleIndex is for an index file of another segment or generation.
var errStaleIndex = errors.New("it is of another segment, or of an earlier generation")

// decodeIndex returns the index in b, which must stay as it is while the index
// is in use, or why it is not that of the segment that stamp is of.
func decodeIndex(b []byte, stamp indexStamp) (*sealedIndex, error) {
	switch {
	case len(b) < indexHeader || string(b[:8]) != indexMagic:
		return nil, errors.New("it is not an index file")
	case le.Uint32(b[124:]) != crc32.Checksum(b[:124], castagnoli):
		return nil, errors.New("the checksum of its header does not match")
	case le.Uint32(b[8:]) != indexVersion:
		return nil, errors.New("it has another format version")
	case !bytes.Equal(b[16:32], stamp.storeID[:]) || le.Uint64(b[32:]) != uint64(stamp.first) || le.Uint32(b[56:]) != stamp.seed:
		return nil, errStaleIndex
	case le.Uint32(b[120:]) != crc32.Checksum(b[indexHeader:], castagnoli):
		return nil, errors.New("its checksum does not match")
	}
	n := func(off int) int { return int(le.Uint32(b[off:])) }
	x := &sealedIndex{
		indexSummary: indexSummary{last: eventstore.Position(le.Uint64(b[40:])), end: int64(le.Uint64(b[48:])), events: n(60), born: n(80), metas: n(84)},
		log2:         n(96), size: len(b),
	}
	rest, ok := b[indexHeader:], x.log2 <= 32
	take := func(n int) []byte {
		if !ok || n < 0 || n > len(rest) {
			ok = false
			return nil
		}
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	x.filter, x.blocks, x.masks = take(n(88)), take(8*(n(72)+1)), take(8*n(72))
	x.postings, x.directory = take(4*x.events), take(8*(n(64)+1))
	if ok {
		x.buckets = take(4 * (1<<x.log2 + 1))
	}
	if kinds := take(n(92)); ok {
		x.kinds, ok = decodeKinds(kinds, n(76))
	}
	if !ok || len(rest) > 0 || len(x.filter) == 0 || len(x.filter)%bloomLine != 0 || !x.plausible() {
		return nil, errors.New("its sections contradict each other")
	}
	return x, nil
}

// plausible reports whether looking something up cannot leave the sections.
func (x *sealedIndex) plausible() bool {
	n := uint32(len(x.directory)/8 - 1)
	for i := 0; i < len(x.buckets); i += 4 {
		if le.Uint32(x.buckets[i:]) > n {
			return false
		}
	}
	var before uint32
	for i := 4; i < len(x.directory); i += 8 {
		at := le.Uint32(x.directory[i:])
		if at < before || at > uint32(x.events) {
			return false
		}
		before = at
	}
	return int64(x.events) <= blockEvents*int64(len(x.masks)/8)
}

func decodeKinds(b []byte, n int) (kindTable, bool) {
	next := func() (string, bool) {
		if len(b) < 2 || len(b)-2 < int(le.Uint16(b)) {
			return "", false
		}
		s := string(b[2 : 2+le.Uint16(b)])
		b = b[2+len(s):]
		return s, true
	}
	if n > maxKinds {
		return nil, false
	}
	k := make(kindTable, n)
	for i := range k {
		var ok bool
		if k[i].category, ok = next(); !ok {
			return nil, false
		}
		if k[i].typ, ok = next(); !ok {
			return nil, false
		}
	}
	return k, len(b) == 0
}

// find calls found with the postings, 4 bytes each, of every stream whose name
// may have the hash, until it reports true.
func (x *sealedIndex) find(hash uint64, found func(postings []byte) bool) {
	if !x.filter.has(hash) {
		return
	}
	b := 4 * bucketOf(hash, x.log2)
	i, end := le.Uint32(x.buckets[b:]), le.Uint32(x.buckets[b+4:])
	for ; i < end; i++ {
		d := x.directory[8*i : 8*i+16]
		if le.Uint32(d) != uint32(hash>>32) {
			continue
		}
		from, to := le.Uint32(d[4:]), le.Uint32(d[12:])
		if from < to && found(x.postings[4*from:4*to]) {
			return
		}
	}
}

// blockOf returns the number of the last block that begins at or before a
// position, which is given since the segment's first.
func (x *sealedIndex) blockOf(rel uint32) int {
	return lastBlock(len(x.masks)/8, rel, func(i int) uint32 { return x.blockAt(i).rel })
}

// blockAt returns a block, or for the number behind the last one zeros.
func (x *sealedIndex) blockAt(i int) block {
	return block{le.Uint32(x.blocks[8*i:]), le.Uint32(x.blocks[8*i+4:])}
}

// startOf returns the block of [sealedIndex.blockOf].
func (x *sealedIndex) startOf(rel uint32) block {
	if x.events == 0 {
		return block{off: headerSize}
	}
	return x.blockAt(x.blockOf(rel))
}

// lastBlock returns the last of n blocks that begins at or before rel, or 0.
// Without gaps between the positions it is the one that is tried first.
func lastBlock(n int, rel uint32, begins func(i int) uint32) int {
	if i := min(int(rel/blockEvents), n-1); i >= 0 && begins(i) <= rel && (i+1 == n || begins(i+1) > rel) {
		return i
	}
	return max(sort.Search(n, func(i int) bool { return begins(i) > rel })-1, 0)
}
