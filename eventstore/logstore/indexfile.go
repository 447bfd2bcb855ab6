package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
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
//	 60 events, uint32            100 tags, uint32
//	 64 streams, uint32           104 postings of tags, uint32
//	 68 zero                      108 bytes of the filter of tags, uint32
//	                              112 log2 of the buckets of tags, uint32
//	                              120 CRC-32C of what follows the header
//	                              124 CRC-32C of bytes 0 to 123
//	filter
//	blocks     offset, position since the first: 2 uint32 each, and one of zeros
//	masks      kinds in each block: uint64 each
//	postings   offset of each event, by stream and version: uint32 each
//	directory  hash of the stream's name (upper 32 bits), first posting: 2 uint32 each, sorted by hash, and one for the end
//	buckets    first entry of the directory for each value of the first bits of the hash: uint32 each, and one for the end
//	kinds      category and type, each with its length before it: uint16
//	tags       if there are any: filter, postings in the order of positions, directory and buckets as above, by the hash of the tag
const (
	indexHeader  = 128
	indexMagic   = "foldidx\n"
	indexVersion = 2
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
	entries := make([]posted, 0, len(t.streams))
	for name, st := range t.streams {
		if len(st.added) > 0 {
			entries = append(entries, posted{hashName(name), st.added})
		}
	}
	streams := planDirectory(entries)
	tags := t.planTags()
	var kinds []byte
	for _, k := range t.kinds {
		kinds = appendString(appendString(kinds, k.category), k.typ)
	}
	size := indexHeader + len(streams.filter) + 8*(len(t.blocks)+1) + 8*len(t.mask) + streams.size() + len(kinds) + len(tags.filter) + tags.size()
	b := make([]byte, indexHeader, size)
	b = append(b, streams.filter...)
	for _, bl := range t.blocks {
		b = le.AppendUint32(le.AppendUint32(b, bl.off), bl.rel)
	}
	b = le.AppendUint64(b, 0)
	for _, m := range t.mask {
		b = le.AppendUint64(b, m)
	}
	b = streams.appendTo(b)
	b = append(b, kinds...)
	if len(tags.entries) > 0 {
		b = tags.appendTo(append(b, tags.filter...))
		for i, n := range []int{len(tags.entries), tags.postings, len(tags.filter), tags.log2} {
			le.PutUint32(b[100+4*i:], uint32(n))
		}
	}

	copy(b, indexMagic)
	le.PutUint32(b[8:], indexVersion)
	copy(b[16:], stamp.storeID[:])
	le.PutUint64(b[32:], uint64(stamp.first))
	le.PutUint64(b[40:], uint64(sum.last))
	le.PutUint64(b[48:], uint64(sum.end))
	le.PutUint32(b[56:], stamp.seed)
	for i, n := range []int{sum.events, len(streams.entries), 0, len(t.blocks), len(t.kinds), sum.born, sum.metas, len(streams.filter), len(kinds), streams.log2} {
		le.PutUint32(b[60+4*i:], uint32(n))
	}
	le.PutUint32(b[120:], crc32.Checksum(b[indexHeader:], castagnoli))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

func appendString(b []byte, s string) []byte {
	return append(le.AppendUint16(b, uint16(len(s))), s...)
}

// A sealedIndex is an index file in memory, as a rule a mapping.
type sealedIndex struct {
	indexSummary
	blocks  []byte
	masks   []byte
	streams directory
	tags    directory // empty when no event has any
	kinds   kindTable
	size    int
}

// These are for index files that are no damage, but of no use either.
var (
	errStaleIndex = errors.New("it is of another segment, or of an earlier generation")
	errOldIndex   = fmt.Errorf("%w: it has another format version", errStaleIndex)
)

// decodeIndex returns the index in b, which must stay as it is while the index
// is in use, or why it is not that of the segment that stamp is of.
func decodeIndex(b []byte, stamp indexStamp) (*sealedIndex, error) {
	switch {
	case len(b) < indexHeader || string(b[:8]) != indexMagic:
		return nil, errors.New("it is not an index file")
	case le.Uint32(b[124:]) != crc32.Checksum(b[:124], castagnoli):
		return nil, errors.New("the checksum of its header does not match")
	case le.Uint32(b[8:]) != indexVersion:
		return nil, errOldIndex
	case !bytes.Equal(b[16:32], stamp.storeID[:]) || le.Uint64(b[32:]) != uint64(stamp.first) || le.Uint32(b[56:]) != stamp.seed:
		return nil, errStaleIndex
	case le.Uint32(b[120:]) != crc32.Checksum(b[indexHeader:], castagnoli):
		return nil, errors.New("its checksum does not match")
	}
	n := func(off int) int { return int(le.Uint32(b[off:])) }
	x := &sealedIndex{
		indexSummary: indexSummary{last: eventstore.Position(le.Uint64(b[40:])), end: int64(le.Uint64(b[48:])), events: n(60), born: n(80), metas: n(84)},
		size:         len(b),
	}
	rest, ok := b[indexHeader:], true
	take := func(n int) []byte {
		if !ok || n < 0 || n > len(rest) {
			ok = false
			return nil
		}
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	filter := take(n(88))
	x.blocks, x.masks = take(8*(n(72)+1)), take(8*n(72))
	var whole bool
	x.streams, whole = takeDirectory(take, filter, n(64), x.events, n(96))
	if kinds := take(n(92)); ok && whole {
		x.kinds, whole = decodeKinds(kinds, n(76))
	}
	if n(100) > 0 && ok && whole {
		filter := take(n(108))
		x.tags, whole = takeDirectory(take, filter, n(100), n(104), n(112))
	}
	if !ok || !whole || len(rest) > 0 || int64(x.events) > blockEvents*int64(len(x.masks)/8) {
		return nil, errors.New("its sections contradict each other")
	}
	return x, nil
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

// blockOf returns the number of the last block that begins at or before a
// position, which is given since the segment's first.
func (x *sealedIndex) blockOf(rel uint32) int {
	return lastBlock(len(x.masks)/8, rel, func(i int) uint32 { return x.blockAt(i).rel })
}

// blockAt returns a block, or for the number behind the last one zeros.
func (x *sealedIndex) blockAt(i int) block {
	return block{le.Uint32(x.blocks[8*i:]), le.Uint32(x.blocks[8*i+4:])}
}

// lastBlock returns the last of n blocks that begins at or before rel, or 0.
// Without gaps between the positions it is the one that is tried first.
func lastBlock(n int, rel uint32, begins func(i int) uint32) int {
	if i := min(int(rel/blockEvents), n-1); i >= 0 && begins(i) <= rel && (i+1 == n || begins(i+1) > rel) {
		return i
	}
	return max(sort.Search(n, func(i int) bool { return begins(i) > rel })-1, 0)
}
