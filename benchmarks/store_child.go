package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// memoryUse is what a process had in memory besides the page cache, in bytes.
type memoryUse struct {
	Anonymous []float64 // after each round of reading and appending
	Settled   float64   // after a collection at the end
	Peak      float64   // at any time
}

// A storeChild is a process of its own that has a log open.
type storeChild struct {
	cmd *exec.Cmd
	out *json.Decoder
}

func (b *bigLog) start(ctx context.Context, args ...string) (*storeChild, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args = append([]string{
		"store-child", "-dir", b.dir, "-events", strconv.Itoa(b.events), "-streams", strconv.Itoa(b.streams), "-payload", strconv.Itoa(b.payload),
		"-samples", strconv.Itoa(b.reads20),
	}, args...)
	cmd := exec.CommandContext(ctx, exe, args...) //nolint:gosec // the arguments are ours
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &storeChild{cmd, json.NewDecoder(out)}, cmd.Start()
}

// await returns once the child has said something, which it reads into v.
func (c *storeChild) await(v any) error {
	if v == nil {
		v = new(any)
	}
	if err := c.out.Decode(v); err != nil {
		return fmt.Errorf("the process with the log says nothing: %w", err)
	}
	return nil
}

// kill ends the child with SIGKILL.
func (c *storeChild) kill() error {
	err := c.cmd.Process.Kill()
	_ = c.cmd.Wait() // says that it was killed
	return err
}

// use lets a process of its own open the log, append the events of the plan
// from one number to another, then read and append a little, and returns what
// that process has in memory.
func (b *bigLog) use(ctx context.Context, from, to int) (u memoryUse, err error) {
	child, err := b.start(ctx, "-do", "use", "-from", strconv.Itoa(from), "-to", strconv.Itoa(to))
	if err != nil {
		return u, err
	}
	err = child.await(&u)
	return u, errors.Join(err, child.cmd.Wait())
}

// storeChildMain is the hidden scenario that store starts as a process.
func storeChildMain(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var c storeConfig
	fs := flag.NewFlagSet("store-child", flag.ContinueOnError)
	fs.StringVar(&c.dir, "dir", "", "the log")
	fs.IntVar(&c.events, "events", 0, "see benchmarks store -h")
	fs.IntVar(&c.streams, "streams", 0, "see benchmarks store -h")
	fs.IntVar(&c.payload, "payload", 0, "see benchmarks store -h")
	fs.IntVar(&c.reads20, "samples", 0, "see benchmarks store -h")
	do := fs.String("do", "use", "use, or append until killed")
	from := fs.Int("from", 0, "first event of the plan to append")
	to := fs.Int("to", 0, "the one behind the last")
	if err := fs.Parse(args); err != nil {
		return errUsage
	}
	if *do == "append" {
		return c.appendUntilKilled(ctx, stdout)
	}
	store, err := logstore.Open(c.dir, &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var u memoryUse
	stop := watchMemory(&u.Peak)
	events := newStoreEvents(c.payload)
	err = c.plan().fill(ctx, store, events, *from, *to, func(n int) { _, _ = fmt.Fprintf(stderr, "%d events\n", n) })
	if err == nil {
		err = c.readAndAppend(ctx, store, events, &u)
	}
	stop()
	debug.FreeOSMemory()
	settled, memErr := anonymous(os.Getpid())
	if err := errors.Join(err, memErr); err != nil {
		return err
	}
	u.Settled = settled
	return json.NewEncoder(stdout).Encode(u)
}

// watchMemory notes the most anonymous memory of this process until stop is
// called.
func watchMemory(peak *float64) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if now, err := anonymous(os.Getpid()); err == nil {
					*peak = max(*peak, now)
				}
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// readAndAppend does some rounds of what an application does, and notes the
// memory after each.
func (c storeConfig) readAndAppend(ctx context.Context, store *logstore.Store, events *storeEvents, u *memoryUse) error {
	const rounds = 7
	each := c.reads20
	rnd := rand.New(rand.NewPCG(7, 8))
	plan := c.plan()
	for range rounds {
		head, err := store.Head(ctx)
		if err != nil {
			return err
		}
		for range each {
			for _, err := range store.Read(ctx, storeStream(rnd.IntN(plan.streams)), eventstore.ReadOptions{Limit: 50}) {
				if err != nil {
					return err
				}
			}
		}
		opts := eventstore.ReadAllOptions{From: eventstore.Position(1 + rnd.Uint64N(uint64(head))), Limit: 50 * each}
		for _, err := range store.ReadAll(ctx, opts) {
			if err != nil {
				return err
			}
		}
		err = shareOut(16, each, func(i int) error {
			stream := (i*7919 + int(head)) % plan.first(0) // a long one
			_, err := store.Append(ctx, storeStream(stream), eventstore.Any, events.event(stream, i))
			return err
		})
		if err != nil {
			return err
		}
		now, err := anonymous(os.Getpid())
		if err != nil {
			return err
		}
		u.Anonymous = append(u.Anonymous, now)
	}
	return nil
}

// appendUntilKilled appends durably from many callers, and says so once it has
// begun.
func (c storeConfig) appendUntilKilled(ctx context.Context, stdout io.Writer) error {
	store, err := logstore.Open(c.dir, nil)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	events, long := newStoreEvents(c.payload), c.plan().first(0)
	said := make(chan struct{})
	go func() {
		<-said
		_, _ = fmt.Fprintln(stdout, `"appending"`)
	}()
	return shareOut(16, 1<<30, func(i int) error {
		if i == 500 {
			close(said)
		}
		stream := i * 31 % long
		_, err := store.Append(ctx, storeStream(stream), eventstore.Any, events.event(stream, i))
		return err
	})
}
