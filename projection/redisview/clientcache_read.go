package redisview

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// documents returns documents of the active version, nil for one that is
// missing: from memory where that is allowed and they are there, and otherwise
// over the link.
//
// While there is a link nothing is read over any other connection, because what
// such a read has seen may be news that has not come over the link yet. While
// there is none, a read is good if none came before it had its answer.
func (c *ClientCache) documents(ctx context.Context, s *Store, view, collection string, keys []string) ([][]byte, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	r := &cachedRead{
		c: c, s: s, view: view, collection: collection, keys: keys,
		// Such a read wants what is in Redis by now.
		fromRedis: eventstore.AfterFromContext(ctx) > 0 || eventstore.ChangesFromContext(ctx) != nil,
	}
	for range readTries {
		l, links := c.current()
		if l == nil {
			docs, err := s.plainDocuments(ctx, view, collection, keys)
			if err == nil && c.lastLink() != links {
				continue
			}
			c.counts.bypassed.Add(int64(len(keys)))
			return docs, err
		}
		docs, err := r.over(ctx, l)
		if !errors.Is(err, errLinkLost) {
			return docs, err
		}
	}
	return nil, errLinkLost // again and again
}

// current returns the link, and how many there were.
func (c *ClientCache) current() (*link, int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.link, c.links
}

// A cachedRead is one call of [ClientCache.documents].
type cachedRead struct {
	c                *ClientCache
	s                *Store
	view, collection string
	keys             []string
	fromRedis        bool

	p       *pointer // of the version that is read; nil while it is unknown
	docs    [][]byte
	missing []int // which keys are to be asked for
}

// over reads from memory, and what is missing there over l. All documents are
// of the version that was active when the last ones were read: that is asked
// for together with them.
func (r *cachedRead) over(ctx context.Context, l *link) ([][]byte, error) {
	if !r.fromRedis && r.look(l) {
		r.c.counts.hits.Add(int64(len(r.keys)))
		return r.docs, nil
	}
	if r.p == nil || r.fromRedis {
		r.begin(r.guess())
	}
	asked := len(r.missing)
	for range readTries {
		now, err := r.fetch(ctx, l)
		if err != nil {
			return nil, err
		}
		if now == r.p {
			r.c.counts.hits.Add(int64(len(r.keys) - asked))
			r.c.counts.misses.Add(int64(asked))
			return r.docs, nil
		}
		r.begin(now)
		asked = len(r.missing)
	}
	return nil, errBusy
}

// begin begins anew with all documents, of the version of p.
func (r *cachedRead) begin(p *pointer) {
	r.p, r.docs = p, make([][]byte, len(r.keys))
	r.missing = r.missing[:0]
	for i := range r.keys {
		r.missing = append(r.missing, i)
	}
}

// guess returns the pointer as it was last seen, nil if it never was.
func (r *cachedRead) guess() *pointer {
	p, _ := r.s.active.Load(r.view)
	seen, _ := p.(*pointer)
	return seen
}

// look reads from memory and reports whether all was there.
func (r *cachedRead) look(l *link) bool {
	now := time.Now()
	c := r.c
	c.mu.RLock()
	defer c.mu.RUnlock()
	r.p = nil
	if c.link != l || elapsed(*l.fresh.Load(), now) > c.opts.MaxStaleness {
		return false
	}
	p := c.kept.pointers[r.s.activeKey(r.view)]
	if p == nil {
		return false
	}
	r.p, r.docs, r.missing = p, make([][]byte, len(r.keys)), r.missing[:0]
	stem := perKeyStem(r.collection)
	for i, key := range r.keys {
		d := c.kept.get(p.base(key)+stem+key, now)
		if d == nil {
			r.missing = append(r.missing, i)
			continue
		}
		r.docs[i] = bytes.Clone(d.value)
	}
	return len(r.missing) == 0
}

// fetchKeys bounds how many documents are asked for in one step, and with it how
// long Redis serves nobody else for it.
const fetchKeys = 256

// fetch asks for what is missing. It returns the pointer, another one than r.p
// if it has moved.
func (r *cachedRead) fetch(ctx context.Context, l *link) (*pointer, error) {
	missing := r.missing
	for first := true; first || len(missing) > 0; first = false {
		n := min(len(missing), fetchKeys)
		if r.p == nil {
			n = 0 // it is not known where they are
		}
		req, err := l.do(ctx, r.request(missing[:n]), r.alone())
		if err != nil {
			return nil, err
		}
		now, err := r.pointerOf(req)
		if err != nil || now != r.p {
			return now, err
		}
		for i, at := range missing[:n] {
			if d := req.docs[i]; d != nil {
				r.docs[at] = bytes.Clone(d) // the request may be that of others, too
			}
		}
		missing = missing[n:]
	}
	return r.p, nil
}

// alone reports whether the read may be one with others of the same document.
func (r *cachedRead) alone() bool { return r.fromRedis || len(r.keys) != 1 }

// request asks for some of the keys, and for the pointer.
func (r *cachedRead) request(indexes []int) *request {
	req := &request{pointerKey: r.s.activeKey(r.view), p: r.p}
	perKey := r.p != nil && slices.Contains(r.p.perKey, r.collection)
	for _, i := range indexes {
		if perKey {
			req.keys = append(req.keys, r.p.base(r.keys[i])+perKeyStem(r.collection)+r.keys[i])
		} else {
			req.hashes = append(req.hashes, r.p.base(r.keys[i])+documentPrefix+escape(r.collection), r.keys[i])
		}
	}
	return req
}

// pointerOf returns the pointer that a request has found, r.p if it has not
// moved.
func (r *cachedRead) pointerOf(req *request) (*pointer, error) {
	switch {
	case req.text == nil:
		r.s.active.Delete(r.view)
		return nil, projection.ErrNotBuilt
	case r.p != nil && string(req.text) == r.p.text:
		return r.p, nil
	}
	p, err := r.s.parsePointer(r.view, string(req.text))
	if err == nil {
		r.s.active.Store(r.view, p)
	}
	return p, err
}
