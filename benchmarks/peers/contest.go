package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/hallgren/eventsourcing/core"
	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A contestant replays the history from its store into a new view.
type contestant struct {
	name    string
	durable bool
	ours    bool
	// beyond marks what W4 is not: one HSET for all documents of a batch.
	beyond bool
	run    func(context.Context) (time.Duration, error)
	check  func(context.Context) error
}

// enter fills everybody's store. The caller closes what it returns.
func enter(ctx context.Context, rdb *redis.Client, dir string, h *history) (all []contestant, closeAll func() error, err error) {
	useHallgren(generated{})
	mem, err := fillHallgren(h)
	if err != nil {
		return nil, nil, err
	}
	goes, err := fillGoes(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	bolt, err := fillBolt(filepath.Join(dir, "events.bolt"), h)
	if err != nil {
		return nil, nil, err
	}
	ourLog, err := logstore.Open(filepath.Join(dir, "log"), &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return nil, nil, errors.Join(err, bolt.db.Close())
	}
	ourMem := memstore.New(nil)
	closeAll = func() error { return errors.Join(bolt.db.Close(), ourLog.Close(), ourMem.Close()) }
	if err := errors.Join(fillOurs(ctx, ourLog, h), fillOurs(ctx, ourMem, h)); err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}

	checkPeer := func(ctx context.Context) error { return checkByHand(ctx, rdb, h) }
	checkOur := func(ctx context.Context) error { return checkOurs(ctx, rdb, h) }
	peer := func(name string, durable bool, run func(ctx context.Context, variadic bool) error) {
		for _, variadic := range []bool{false, true} {
			c := contestant{name: name, durable: durable, beyond: variadic, check: checkPeer}
			if variadic {
				c.name += ", one HSET a batch"
			}
			c.run = func(ctx context.Context) (time.Duration, error) {
				start := time.Now()
				err := run(ctx, variadic)
				return time.Since(start), err
			}
			all = append(all, c)
		}
	}
	everything := uint64(len(h.events)) // its memory store looks for the start from the beginning at each fetch
	hallgren := func(how func(context.Context, *redis.Client, bool, core.Fetcher) error, fetch func() core.Fetcher) func(context.Context, bool) error {
		return func(ctx context.Context, variadic bool) error { return how(ctx, rdb, variadic, fetch()) }
	}
	fromMem := func() core.Fetcher { return mem.All(1, everything) }
	fromBolt := func() core.Fetcher { return bolt.All(1, 10_000) }
	peer("hallgren memory, projection", false, hallgren(projected, fromMem))
	peer("hallgren memory, iterator", false, hallgren(iterated, fromMem))
	peer("goes memory, query", false, func(ctx context.Context, variadic bool) error { return queried(ctx, rdb, variadic, goes) })
	peer("hallgren bbolt, projection", true, hallgren(projected, fromBolt))
	peer("hallgren bbolt, iterator", true, hallgren(iterated, fromBolt))
	all = append(all,
		contestant{name: "foldstream memstore, exactly once", ours: true, check: checkOur,
			run: func(ctx context.Context) (time.Duration, error) { return ours(ctx, rdb, ourMem) }},
		contestant{name: "foldstream logstore, exactly once", ours: true, durable: true, check: checkOur,
			run: func(ctx context.Context) (time.Duration, error) { return ours(ctx, rdb, ourLog) }},
	)
	return all, closeAll, nil
}
