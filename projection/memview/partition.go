package memview

import (
	"bytes"
	"maps"
	"time"

	"github.com/foldstream/foldstream/projection"
)

// A partition holds what one session writes. The store's lock guards it.
type partition struct {
	checkpoint projection.Checkpoint
	documents  map[string]map[string]document // by collection and key
	counters   map[string]map[string]int64    // by collection and key
	indexes    map[indexKey]map[string]float64
	sets       map[indexKey]map[string]struct{}
	parked     map[string][]byte // by stream
	perKey     []string          // collections whose documents may expire
	writes     int               // of such since the last sweep
}

// indexKey is one key of an index or a set.
type indexKey struct{ collection, key string }

func newPartition(perKey []string) *partition {
	return &partition{
		perKey:    perKey,
		documents: make(map[string]map[string]document),
		counters:  make(map[string]map[string]int64),
		indexes:   make(map[indexKey]map[string]float64),
		sets:      make(map[indexKey]map[string]struct{}),
		parked:    make(map[string][]byte),
	}
}

// A document expires unless that is the zero time.
type document struct {
	value   []byte
	expires time.Time
}

func (d *document) expired() bool { return !d.expires.IsZero() && !time.Now().Before(d.expires) }

func (p *partition) document(collection, key string) []byte {
	d := p.documents[collection][key]
	if d.expired() {
		return nil
	}
	return bytes.Clone(d.value)
}

func (p *partition) applyDocuments(c *projection.DocumentChanges) {
	docs := under(p.documents, c.Collection)
	var expires time.Time
	if c.TTL > 0 {
		expires = time.Now().Add(c.TTL)
		p.sweep(docs, len(c.Put))
	}
	for _, kv := range c.Put {
		docs[kv.Key] = document{append(make([]byte, 0, len(kv.Value)), kv.Value...), expires}
	}
	for _, key := range c.Delete {
		delete(docs, key)
	}
}

// sweep removes what has expired, once for as many writes as there are
// documents.
func (p *partition) sweep(docs map[string]document, writes int) {
	if p.writes += writes; p.writes < len(docs) {
		return
	}
	p.writes = 0
	maps.DeleteFunc(docs, func(_ string, d document) bool { return d.expired() })
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
	for i := range b.Documents {
		p.applyDocuments(&b.Documents[i])
	}
	for _, c := range b.Counters {
		counts := under(p.counters, c.Collection)
		for _, n := range c.Set {
			counts[n.Key] = n.Value
		}
		for _, key := range c.Delete {
			delete(counts, key)
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
	for i := range b.Sets {
		p.applySets(&b.Sets[i])
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

// items returns a copy of everything in p.
func (p *partition) items() []projection.Item {
	var items []projection.Item
	for coll, docs := range p.documents {
		for key, d := range docs {
			if d.expired() {
				continue
			}
			items = append(items, projection.Item{Kind: projection.ItemDocument, Collection: coll, Key: key, Value: bytes.Clone(d.value)})
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
	for k, members := range p.sets {
		for m := range members {
			items = append(items, projection.Item{Kind: projection.ItemSet, Collection: k.collection, Key: k.key, Member: m})
		}
	}
	for stream, data := range p.parked {
		items = append(items, projection.Item{Kind: projection.ItemParked, Key: stream, Value: bytes.Clone(data)})
	}
	return items
}
