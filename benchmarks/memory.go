package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// memoryCaches are the bounds that are compared, in documents.
var memoryCaches = []int{50_000, 200_000}

// memory replays the log in a process of its own for each bound of the cache,
// and tells the most memory that it ever had besides the page cache.
func (b *bench) memory(ctx context.Context, r *result) error {
	for _, cache := range memoryCaches {
		if cache >= b.keys {
			cache = b.keys / 4
		}
		peak, seconds, err := b.projector(ctx, cache)
		if err != nil {
			return err
		}
		if err := b.check(ctx); err != nil {
			return err
		}
		if err := b.drop(ctx); err != nil {
			return err
		}
		r.Memory = append(r.Memory, memoryRow{Cache: cache, PeakMiB: peak / (1 << 20), Seconds: seconds})
		b.say("cache of %d documents: at most %.0f MiB, %.1f s, %.0f events/s", cache, peak/(1<<20), seconds, float64(b.events)/seconds)
	}
	return nil
}

type memoryRow struct {
	Cache   int     `json:"cache_documents"`
	PeakMiB float64 `json:"peak_mib"`
	Seconds float64 `json:"seconds"`
}

func (b *bench) projector(ctx context.Context, cache int) (peak, seconds float64, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	if err := b.store.Close(); err != nil { // one process at a time has a log
		return 0, 0, err
	}
	o := b.rdb.Options()
	cmd := exec.CommandContext(ctx, exe, "projector", "-dir", b.config.data, "-redis", o.Addr, "-db", strconv.Itoa(o.DB), "-cache", strconv.Itoa(cache), "-types", b.types) //nolint:gosec // the arguments are ours
	cmd.Env = append(os.Environ(), "BENCH_REDIS_PASSWORD="+o.Password, "BENCH_REDIS_USER="+o.Username)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	said := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil && line != "level\n" {
			err = fmt.Errorf("the projector says %q", line)
		}
		said <- err
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case err = <-said:
			done = true
		case <-tick.C:
			if now, err := anonymous(cmd.Process.Pid); err == nil {
				peak = max(peak, now)
			}
		}
	}
	seconds = time.Since(start).Seconds()
	err = errors.Join(err, cmd.Wait())
	store, openErr := logstore.Open(b.config.data, &logstore.Options{Sync: logstore.SyncNever})
	b.store = store
	return peak, seconds, errors.Join(err, openErr)
}

// projector is the other process: it replays and ends.
func projector(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("projector", flag.ContinueOnError)
	dir := fs.String("dir", "", "log store")
	addr := fs.String("redis", "", "address")
	db := fs.Int("db", 0, "database")
	cache := fs.Int("cache", 0, "documents in memory")
	types := fs.String("types", "generated", "see benchmarks -h")
	if err := fs.Parse(args); err != nil {
		return errUsage
	}
	store, err := logstore.Open(*dir, &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: *addr, DB: *db, Username: os.Getenv("BENCH_REDIS_USER"), Password: os.Getenv("BENCH_REDIS_PASSWORD")})
	defer func() { _ = rdb.Close() }()
	views := redisview.New(rdb, &redisview.Options{Prefix: benchPrefix})
	runner := projection.NewRunner(store, &projection.Options{CacheDocuments: *cache}, kinds[*types].projection(views))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	err = level(ctx, runner, done)
	cancel()
	if err == nil {
		err = <-done
	}
	if err == nil {
		_, err = fmt.Fprintln(stdout, "level")
	}
	return err
}
