package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

const (
	handKey        = "foldstream-peers:orders"
	handCheckpoint = "foldstream-peers:checkpoint"
	handBatch      = 1000
)

// handView is what a user of a peer writes: all documents in a map, and one
// pipeline after so many events, with the changed documents and the checkpoint.
// A crash between two commands of it tears the view.
type handView[K comparable] struct {
	rdb      *redis.Client
	name     func(K) string
	variadic bool // one HSET with all documents of a batch instead of one each
	docs     map[K]*handDoc
	dirty    []*handDoc
	pending  int
	at       uint64
}

type handDoc struct {
	Summary
	id    string
	dirty bool
}

func newHandView[K comparable](rdb *redis.Client, variadic bool, name func(K) string) *handView[K] {
	return &handView[K]{rdb: rdb, variadic: variadic, name: name, docs: make(map[K]*handDoc)}
}

// of returns the document of a key, which the caller then folds into.
func (v *handView[K]) of(key K) *handDoc {
	d := v.docs[key]
	if d == nil {
		d = &handDoc{id: v.name(key)}
		v.docs[key] = d
	}
	if !d.dirty {
		d.dirty = true
		v.dirty = append(v.dirty, d)
	}
	return d
}

// bytes decodes and folds an event that the peer hands out encoded.
func (v *handView[K]) bytes(key K, name string, data []byte, at time.Time) (err error) {
	m := projection.Meta{Created: at}
	d := v.of(key)
	switch name {
	case "LineAdded":
		var e LineAdded
		if _, err = e.UnmarshalMsg(data); err == nil {
			d.Summary, err = d.lineAdded(e, m)
		}
	case "Placed":
		var e Placed
		if _, err = e.UnmarshalMsg(data); err == nil {
			d.Summary, err = d.placed(e, m)
		}
	case "Paid":
		var e Paid
		if _, err = e.UnmarshalMsg(data); err == nil {
			d.Summary, err = d.paid(e, m)
		}
	case "Shipped":
		var e Shipped
		if _, err = e.UnmarshalMsg(data); err == nil {
			d.Summary, err = d.shipped(e, m)
		}
	default:
		err = fmt.Errorf("unknown event %q", name)
	}
	return err
}

// value folds an event that the peer hands out decoded.
func (v *handView[K]) value(key K, event any, at time.Time) (err error) {
	m := projection.Meta{Created: at}
	d := v.of(key)
	switch e := event.(type) {
	case *LineAdded:
		d.Summary, err = d.lineAdded(*e, m)
	case *Placed:
		d.Summary, err = d.placed(*e, m)
	case *Paid:
		d.Summary, err = d.paid(*e, m)
	case *Shipped:
		d.Summary, err = d.shipped(*e, m)
	default:
		err = fmt.Errorf("unknown event %T", event)
	}
	return err
}

// handled counts an event and writes when a batch is full.
func (v *handView[K]) handled(ctx context.Context, position uint64) error {
	v.at = position
	if v.pending++; v.pending < handBatch {
		return nil
	}
	return v.flush(ctx)
}

func (v *handView[K]) flush(ctx context.Context) error {
	if v.pending == 0 {
		return nil
	}
	pipe := v.rdb.Pipeline()
	buf := make([]byte, 0, 256*len(v.dirty))
	fields := make([]any, 0, 2*len(v.dirty))
	for _, d := range v.dirty {
		start := len(buf)
		var err error
		if buf, err = d.MarshalMsg(buf); err != nil {
			return err
		}
		if d.dirty = false; v.variadic {
			fields = append(fields, d.id, buf[start:])
		} else {
			pipe.HSet(ctx, handKey, d.id, buf[start:])
		}
	}
	if v.variadic {
		pipe.HSet(ctx, handKey, fields...)
	}
	pipe.Set(ctx, handCheckpoint, v.at, 0)
	v.dirty, v.pending = v.dirty[:0], 0
	_, err := pipe.Exec(ctx)
	return err
}

// checkByHand reads the view that a peer has filled, and removes it.
func checkByHand(ctx context.Context, rdb *redis.Client, h *history) error {
	err := h.check(func(yield func(string, []byte) error) error {
		all, err := rdb.HGetAll(ctx, handKey).Result()
		for id, data := range all {
			if err = yield(id, []byte(data)); err != nil {
				break
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return rdb.Unlink(ctx, handKey, handCheckpoint).Err()
}
