package redisview

import (
	"bytes"
	"fmt"
	"time"
)

// read takes what comes until the link ends.
func (l *link) read() error {
	for {
		v, err := l.in.next()
		if err != nil {
			return err
		}
		l.mu.Lock()
		var q *request
		if len(l.pending) > 0 {
			q = l.pending[0]
		}
		l.mu.Unlock()
		if q == nil {
			return errProtocol
		}
		if err := l.answer(q, &v); err != nil {
			return err
		}
	}
}

// answer takes the answer to q, of which v is the first part.
func (l *link) answer(q *request, v *reply) error {
	l.deep = true // what is told of from here on comes after the answer
	for range q.replies() {
		if err := v.refusal(); err != nil {
			return fmt.Errorf("read of a client cache: %w", err)
		}
		next, err := l.in.next()
		if err != nil {
			return err
		}
		v = &next
	}
	if err := v.refusal(); err != nil {
		return fmt.Errorf("read of a client cache: %w", err)
	}
	if !q.probe {
		if err := q.take(v); err != nil {
			return err
		}
		l.c.keep(q)
	}
	l.deep = false
	sent := q.sent
	l.fresh.Store(&sent)
	l.dropped(l.late)
	l.late = l.late[:0]
	l.finish(q)
	return nil
}

// finish tells those who wait for q, which nobody can join from now on.
func (l *link) finish(q *request) {
	l.mu.Lock()
	l.pending[0] = nil
	l.pending = l.pending[1:]
	if len(q.keys) == 1 && l.flights[q.keys[0]] == q {
		delete(l.flights, q.keys[0])
	}
	l.mu.Unlock()
	close(q.done)
}

// keep keeps what was read, if it is of the version that is active.
func (c *ClientCache) keep(q *request) {
	if q.p == nil || string(q.text) != q.p.text {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.pointers[q.pointerKey] = q.p
	for i, key := range q.keys {
		d := &keptDocument{key: key, value: q.docs[i], asked: q.sent}
		switch ms := q.ttls[i]; {
		case ms > time.Millisecond:
			d.ttl = ms - time.Millisecond // Redis rounds
		case ms >= 0, ms == noKey && d.value != nil:
			continue // it has expired by now
		}
		c.kept.put(d)
	}
}

const noKey = -2 * time.Millisecond // what PTTL says if there is none

// news takes a push.
func (l *link) news(v *reply) {
	if len(v.elems) != 2 || !bytes.Equal(v.elems[0].text, []byte("invalidate")) {
		return
	}
	keys := []string{""} // of a FLUSHALL
	if told := v.elems[1]; told.kind == '*' {
		keys = keys[:0]
		for i := range told.elems {
			keys = append(keys, string(told.elems[i].text))
		}
	}
	if l.deep {
		l.late = append(l.late, keys...)
		return
	}
	l.dropped(keys)
}

// dropped drops what has changed.
func (l *link) dropped(keys []string) {
	if len(keys) == 0 {
		return
	}
	l.c.counts.news.Add(int64(len(keys)))
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	for _, key := range keys {
		if key == "" {
			l.c.kept.clear()
			continue
		}
		l.c.kept.changed(key)
	}
}
