package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hallgren/eventsourcing/core"
	"go.etcd.io/bbolt"
)

// boltLog is a durable log for hallgren/eventsourcing. The library's own
// adapter for bbolt is a module that the module proxy does not serve us, and
// encodes each event as JSON. This one has less to do: values are a few
// lengths and the bytes, read where they lie in the file.
type boltLog struct{ db *bbolt.DB }

var boltEvents = []byte("events")

func fillBolt(path string, h *history) (*boltLog, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	l := &boltLog{db: db}
	for start := 0; start < len(h.events); start += 10_000 {
		if err := l.append(h, start, min(start+10_000, len(h.events))); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return l, nil
}

func (l *boltLog) append(h *history, start, end int) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(boltEvents)
		if err != nil {
			return err
		}
		b.FillPercent = 1 // keys only grow
		for i := start; i < end; i++ {
			e := h.coreEvent(i)
			if err := b.Put(boltKey(e.GlobalVersion), encodeBolt(&e)); err != nil {
				return err
			}
		}
		return nil
	})
}

func boltKey(v core.Version) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

func encodeBolt(e *core.Event) []byte {
	b := binary.AppendUvarint(nil, uint64(e.Version))
	b = binary.AppendVarint(b, e.Timestamp.UnixNano())
	for _, s := range []string{e.AggregateID, e.Reason} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(b, e.Data...)
}

// All returns a fetcher of so many events at a time.
func (l *boltLog) All(start core.Version, count int) core.Fetcher {
	return func() (core.Iterator, error) {
		tx, err := l.db.Begin(false)
		if err != nil {
			return nil, err
		}
		it := &boltIterator{tx: tx, cursor: tx.Bucket(boltEvents).Cursor(), left: count, next: &start}
		it.key, it.value = it.cursor.Seek(boltKey(start))
		return it, nil
	}
}

// boltIterator holds its transaction open until Close, so that events need not
// be copied.
type boltIterator struct {
	tx         *bbolt.Tx
	cursor     *bbolt.Cursor
	key, value []byte
	left       int
	started    bool
	next       *core.Version
}

func (it *boltIterator) Next() bool {
	if it.left--; it.left < 0 {
		return false
	}
	if it.started {
		it.key, it.value = it.cursor.Next()
	}
	it.started = true
	if it.key == nil {
		return false
	}
	*it.next = core.Version(binary.BigEndian.Uint64(it.key)) + 1
	return true
}

// reasons saves a string for each event.
var reasons = map[string]string{"Placed": "Placed", "LineAdded": "LineAdded", "Paid": "Paid", "Shipped": "Shipped"}

var errBoltValue = errors.New("value in bbolt is cut short")

func (it *boltIterator) Value() (core.Event, error) {
	e, err := decodeBolt(it.value)
	e.GlobalVersion = *it.next - 1
	return e, err
}

func decodeBolt(b []byte) (core.Event, error) {
	e := core.Event{AggregateType: "Order"}
	version, n := binary.Uvarint(b)
	if n <= 0 {
		return e, errBoltValue
	}
	nanos, m := binary.Varint(b[n:])
	if m <= 0 {
		return e, errBoltValue
	}
	b = b[n+m:]
	e.Version, e.Timestamp = core.Version(version), time.Unix(0, nanos)
	var texts [2][]byte
	for i := range texts {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return e, errBoltValue
		}
		texts[i], b = b[n:n+int(size)], b[n+int(size):]
	}
	e.AggregateID, e.Reason, e.Data = string(texts[0]), reasons[string(texts[1])], b
	return e, nil
}

func (it *boltIterator) Close() { _ = it.tx.Rollback() }
