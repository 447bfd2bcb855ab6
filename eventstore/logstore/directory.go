package logstore

import (
	"cmp"
	"math/bits"
	"slices"
)

// A directory finds by a hash, in an index file, where events are: those of a
// stream, or those with a tag.
type directory struct {
	filter   bloom
	postings []byte // offset of each event: uint32 each
	entries  []byte // upper 32 bits of the hash, first posting: 2 uint32 each, sorted by hash, and one for the end
	buckets  []byte // first entry for each value of the first bits of the hash: uint32 each, and one for the end
	log2     int    // of the number of buckets
}

// A posted is what is under one hash: offsets in rising order, or for streams
// in the order of versions.
type posted struct {
	hash uint64
	offs []uint32
}

// A directoryPlan is a directory that is still to be encoded.
type directoryPlan struct {
	entries  []posted
	filter   bloom
	postings int
	log2     int
}

func planDirectory(entries []posted) directoryPlan {
	slices.SortFunc(entries, func(a, b posted) int { return cmp.Compare(a.hash, b.hash) })
	p := directoryPlan{entries: entries, filter: newBloom(len(entries)), log2: bits.Len(uint(len(entries)) / 4)}
	for _, e := range entries {
		p.filter.add(e.hash)
		p.postings += len(e.offs)
	}
	return p
}

// size returns the bytes of everything but the filter.
func (p *directoryPlan) size() int {
	return 4*p.postings + 8*(len(p.entries)+1) + 4*(1<<p.log2+1)
}

// appendTo appends everything but the filter.
func (p *directoryPlan) appendTo(b []byte) []byte {
	for _, e := range p.entries {
		for _, off := range e.offs {
			b = le.AppendUint32(b, off)
		}
	}
	posting := 0
	for _, e := range p.entries {
		b = le.AppendUint32(le.AppendUint32(b, uint32(e.hash>>32)), uint32(posting))
		posting += len(e.offs)
	}
	b = le.AppendUint32(le.AppendUint32(b, 1<<32-1), uint32(posting))
	for bucket, i := 0, 0; bucket <= 1<<p.log2; bucket++ {
		for i < len(p.entries) && bucketOf(p.entries[i].hash, p.log2) < bucket {
			i++
		}
		b = le.AppendUint32(b, uint32(i))
	}
	return b
}

func bucketOf(hash uint64, log2 int) int { return int(hash >> (64 - log2)) } // 0 when log2 is 0

// takeDirectory returns a directory whose filter was taken already.
func takeDirectory(take func(n int) []byte, filter []byte, entries, postings, log2 int) (directory, bool) {
	d := directory{filter: filter, log2: log2}
	if d.postings, d.entries = take(4*postings), take(8*(entries+1)); d.entries == nil || log2 > 32 {
		return d, false
	}
	d.buckets = take(4 * (1<<log2 + 1))
	return d, d.buckets != nil && len(d.filter) > 0 && len(d.filter)%bloomLine == 0 && d.plausible()
}

// plausible reports whether looking something up cannot leave the sections.
func (d *directory) plausible() bool {
	n := uint32(len(d.entries)/8 - 1)
	for i := 0; i < len(d.buckets); i += 4 {
		if le.Uint32(d.buckets[i:]) > n {
			return false
		}
	}
	var before uint32
	for i := 4; i < len(d.entries); i += 8 {
		at := le.Uint32(d.entries[i:])
		if at < before || at > uint32(len(d.postings)/4) {
			return false
		}
		before = at
	}
	return true
}

// find calls found with the postings, 4 bytes each, of everything that may have
// the hash, until it reports true.
func (d *directory) find(hash uint64, found func(postings []byte) bool) {
	if len(d.filter) == 0 || !d.filter.has(hash) {
		return
	}
	b := 4 * bucketOf(hash, d.log2)
	i, end := le.Uint32(d.buckets[b:]), le.Uint32(d.buckets[b+4:])
	for ; i < end; i++ {
		e := d.entries[8*i : 8*i+16]
		if le.Uint32(e) != uint32(hash>>32) {
			continue
		}
		from, to := le.Uint32(e[4:]), le.Uint32(e[12:])
		if from < to && found(d.postings[4*from:4*to]) {
			return
		}
	}
}
