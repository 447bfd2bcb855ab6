package memview

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/foldstream/foldstream/projection"
)

// A partition holds what one session writes. The store's lock guards it.
type partition struct {
	checkpoint projection.Checkpoint
	documents  map[string]map[string][]byte // by collection and key
	counters   map[string]map[string]int64  // by collection and key
	indexes    map[indexKey]map[string]float64
	parked     map[string][]byte // by stream
}

type indexKey struct{ collection, key string }

func newPartition() *partition {
	return &partition{
		documents: make(map[string]map[string][]byte),
		counters:  make(map[string]map[string]int64),
		indexes:   make(map[indexKey]map[string]float64),
		parked:    make(map[string][]byte),
	}
}

func (p *partition) document(collection, key string) []byte {
	return bytes.Clone(p.documents[collection][key])
}

func (p *partition) allParked() map[string][]byte {
	all := make(map[string][]byte, len(p.parked))
	for stream, data := range p.parked {
		all[stream] = bytes.Clone(data)
	}
	return all
}

// apply makes the changes of b, of which nothing is kept.
func (p *partition) apply(b *projection.Batch) {
	for _, c := range b.Documents {
		docs := under(p.documents, c.Collection)
		for _, kv := range c.Put {
			docs[kv.Key] = append(make([]byte, 0, len(kv.Value)), kv.Value...)
		}
		for _, key := range c.Delete {
			delete(docs, key)
		}
	}
	for _, c := range b.Counters {
		counts := under(p.counters, c.Collection)
		for _, n := range c.Set {
			counts[n.Key] = n.Value
		}
	}
	for _, c := range b.Indexes {
		for _, e := range c.Entries {
			members := under(p.indexes, indexKey{c.Collection, e.Key})
			if e.Remove {
				delete(members, e.Member)
			} else {
				members[e.Member] = e.Score
			}
		}
	}
	for _, c := range b.Parked {
		if c.Data == nil {
			delete(p.parked, c.Stream)
		} else {
			p.parked[c.Stream] = bytes.Clone(c.Data)
		}
	}
	p.checkpoint.Position = b.Position
}

// under returns the map at key and makes it when it is missing.
func under[K, L comparable, V any](m map[K]map[L]V, key K) map[L]V {
	if m[key] == nil {
		m[key] = make(map[L]V)
	}
	return m[key]
}

// members returns the members of an index's key within r.
func (p *partition) members(k indexKey, r projection.Range) []projection.Member {
	var ms []projection.Member
	for m, score := range p.indexes[k] {
		if (r.Min == nil || score >= *r.Min) && (r.Max == nil || score <= *r.Max) {
			ms = append(ms, projection.Member{Member: m, Score: score})
		}
	}
	slices.SortFunc(ms, func(a, b projection.Member) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Member, b.Member))
	})
	if r.Reverse {
		slices.Reverse(ms)
	}
	ms = ms[min(max(r.Offset, 0), len(ms)):]
	if r.Limit > 0 {
		ms = ms[:min(r.Limit, len(ms))]
	}
	return ms
}

// items returns a copy of everything in p.
func (p *partition) items() []projection.Item {
	var items []projection.Item
	for coll, docs := range p.documents {
		for key, v := range docs {
			items = append(items, projection.Item{Kind: projection.ItemDocument, Collection: coll, Key: key, Value: bytes.Clone(v)})
		}
	}
	for coll, counts := range p.counters {
		for key, n := range counts {
			items = append(items, projection.Item{Kind: projection.ItemCounter, Collection: coll, Key: key, Count: n})
		}
	}
	for k, members := range p.indexes {
		for m, score := range members {
			items = append(items, projection.Item{Kind: projection.ItemIndex, Collection: k.collection, Key: k.key, Member: m, Score: score})
		}
	}
	for stream, data := range p.parked {
		items = append(items, projection.Item{Kind: projection.ItemParked, Key: stream, Value: bytes.Clone(data)})
	}
	return items
}
