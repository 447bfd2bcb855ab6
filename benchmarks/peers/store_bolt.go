package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/hallgren/eventsourcing/core"
	"go.etcd.io/bbolt"
)

// boltStore is a durable store for hallgren/eventsourcing, whose own adapters
// for bbolt and SQLite are modules that the module proxy does not serve us. As
// theirs it saves an aggregate's events in one transaction and keeps an order
// over all streams; it has less to do, as values are a few lengths and the
// bytes instead of JSON, and are written once instead of twice.
type boltStore struct{ db *bbolt.DB }

var (
	boltStreams = []byte("streams") // values by stream and version
	boltOrder   = []byte("order")   // these keys by position
)

func openBolt(path string) (*boltStore, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	return &boltStore{db}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(boltStreams)
		_, err2 := tx.CreateBucket(boltOrder)
		return errors.Join(err, err2)
	})
}

// durable makes every further transaction wait for the disk.
func (s *boltStore) durable() error {
	s.db.NoSync = false
	return s.db.Sync()
}

func streamKey(aggregateType, id string) []byte {
	return append(append(append(make([]byte, 0, 64), aggregateType...), '_'), id...)
}

// Save implements [core.EventStore].
func (s *boltStore) Save(events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		streams, order := tx.Bucket(boltStreams), tx.Bucket(boltOrder)
		stream := streamKey(events[0].AggregateType, events[0].AggregateID)
		prefix := len(stream)
		first := binary.BigEndian.AppendUint64(stream, uint64(events[0].Version))
		if k, _ := streams.Cursor().Seek(first); bytes.HasPrefix(k, stream) {
			return core.ErrConcurrency
		}
		if v := events[0].Version; v > 1 && streams.Get(binary.BigEndian.AppendUint64(stream, uint64(v-1))) == nil {
			return core.ErrConcurrency
		}
		for i := range events {
			e := &events[i]
			position, err := order.NextSequence()
			if err != nil {
				return err
			}
			e.GlobalVersion = core.Version(position)
			key := binary.BigEndian.AppendUint64(bytes.Clone(stream[:prefix]), uint64(e.Version))
			if err := errors.Join(streams.Put(key, encodeBolt(e)), order.Put(boltKey(e.GlobalVersion), key)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Get implements [core.EventStore].
func (s *boltStore) Get(_ context.Context, id, aggregateType string, after core.Version) (core.Iterator, error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, err
	}
	it := &boltStream{tx: tx, cursor: tx.Bucket(boltStreams).Cursor(), stream: streamKey(aggregateType, id)}
	it.next = func() ([]byte, []byte) {
		return it.cursor.Seek(binary.BigEndian.AppendUint64(it.stream, uint64(after)+1))
	}
	return it, nil
}

// boltStream holds its transaction open until Close, so that events need not
// be copied.
type boltStream struct {
	tx     *bbolt.Tx
	cursor *bbolt.Cursor
	stream []byte
	value  []byte
	next   func() (key, value []byte)
}

func (it *boltStream) Next() bool {
	key, value := it.next()
	it.next, it.value = it.cursor.Next, value
	return bytes.HasPrefix(key, it.stream)
}

func (it *boltStream) Value() (core.Event, error) { return decodeBolt(it.value) }

func (it *boltStream) Close() { _ = it.tx.Rollback() }
