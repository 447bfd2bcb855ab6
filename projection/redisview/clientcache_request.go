package redisview

import (
	"strconv"
	"time"
)

// A request reads documents and the pointer at one moment: it is one
// transaction. The link sends it and fills in what came.
type request struct {
	pointerKey string
	p          *pointer // the version that the keys are of; nil: none are asked for
	keys       []string // of documents that are stored per key
	hashes     []string // of others: hash and field, alternately; these are not kept
	probe      bool     // it is only to see whether Redis is there

	sent time.Time // before it was
	done chan struct{}

	// What came; good when done is closed.
	err  error
	text []byte   // of the pointer, nil if there is none
	docs [][]byte // in the order of keys or hashes
	ttls []time.Duration
}

// replies is how many come for it before that of EXEC.
func (q *request) replies() int {
	if q.probe {
		return 0
	}
	n := len(q.keys) + len(q.hashes)/2 + 2 // each, the pointer, MULTI
	if len(q.keys) > 0 {
		n++
	}
	return n
}

func (q *request) append(b []byte) []byte {
	if q.probe {
		return appendCommand(b, probe)
	}
	b = appendCommand(b, "MULTI")
	if len(q.keys) > 0 {
		b = appendCommand(b, append([]string{"MGET"}, q.keys...)...)
	}
	for _, key := range q.keys {
		b = appendCommand(b, "PTTL", key)
	}
	for i := 0; i < len(q.hashes); i += 2 {
		b = appendCommand(b, "HGET", q.hashes[i], q.hashes[i+1])
	}
	b = appendCommand(b, "GET", q.pointerKey)
	return appendCommand(b, "EXEC")
}

// take takes what EXEC has answered.
func (q *request) take(v *reply) error {
	elems := v.elems
	if v.kind != '*' || len(elems) != q.replies()-1 {
		return errProtocol
	}
	for i := range elems {
		if err := elems[i].refusal(); err != nil {
			return err
		}
	}
	if len(q.keys) > 0 {
		if elems[0].kind != '*' || len(elems[0].elems) != len(q.keys) {
			return errProtocol
		}
		for i := range elems[0].elems {
			q.docs = append(q.docs, elems[0].elems[i].text)
		}
		for i := range q.keys {
			ms, err := strconv.ParseInt(string(elems[1+i].text), 10, 64)
			if err != nil {
				return errProtocol
			}
			q.ttls = append(q.ttls, time.Duration(ms)*time.Millisecond)
		}
	} else {
		for i := range len(q.hashes) / 2 {
			q.docs = append(q.docs, elems[i].text)
		}
	}
	q.text = elems[len(elems)-1].text
	return nil
}
