package command

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A crew is what one Run has: a board, a goroutine that keeps it as the store
// has it, and goroutines that carry out what is next.
type crew struct {
	q     *Queue
	board *board
	run   string

	// Guarded by the board's lock.
	live    bool      // the board has caught up once
	leaving bool      // nothing more is begun
	busy    int       // goroutines at work
	alarm   time.Time // when dispatch is called without anything happening; zero for never
	done    [len(states)]uint64
	lost    uint64

	wake  chan struct{} // the alarm has changed
	tidy  chan struct{} // a checkpoint is due
	wg    sync.WaitGroup
	work  context.Context // of handlers; canceled when StopTimeout has passed
	write context.Context // of what is written about commands
}

// errStopped is why the contexts of commands end that were not done in time
// when their worker was told to stop.
var errStopped = errors.New("command: the worker was told to stop")

// writeTimeout is how long a worker that stops tries to give back commands.
const writeTimeout = 5 * time.Second

// Run carries out the commands of the queue until ctx is done, and then returns
// nil once what is under way has come to its end: for QueueOptions.StopTimeout
// handlers are left alone, then their contexts are canceled and what they have
// not done waits for another worker. Any number of processes may run a queue. A
// second Run in a process returns [ErrRunning].
//
// Trouble with the store is waited out; Run returns the error when the store is
// closed or damaged or denies access.
func (q *Queue) Run(ctx context.Context) error {
	if q.codec == nil || q.bus == nil {
		return fmt.Errorf("command: queue %s cannot run without a codec and a bus; give both to command.NewQueue", q.name)
	}
	c := &crew{q: q, run: eventstore.NewID().String()[:13], wake: make(chan struct{}, 1), tidy: make(chan struct{}, 1)}
	if !q.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer q.running.Store(false)
	defer q.crew.Store(nil)
	err := c.stay(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *crew) stay(ctx context.Context) error {
	detached := context.WithoutCancel(ctx)
	work, stopWork := context.WithCancelCause(detached)
	defer stopWork(nil)
	write, stopWrite := context.WithCancel(detached)
	defer stopWrite()
	c.work, c.write = work, write
	board, last, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.board = board
	c.q.crew.Store(c)

	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	ended := make(chan error, 1)
	keeper := &housekeeper{crew: c, last: *last, saved: time.Now()}
	var aside sync.WaitGroup
	aside.Go(func() { ended <- c.follow(reading) })
	aside.Go(func() { keeper.run(reading) })
	err = c.attend(ctx, ended)
	c.leave(stopWork, stopWrite)
	stopReading()
	aside.Wait()
	if err == nil {
		keeper.close(write)
	}
	return err
}

// load tries until the store lets it.
func (c *crew) load(ctx context.Context) (*board, *checkpoint, error) {
	for wait := c.q.opts.Backoff; ; wait = min(2*wait, maxPause) {
		b, last, err := c.q.load(ctx, c.run)
		if err == nil || !passing(err) {
			return b, last, err
		}
		c.q.opts.Logger.Warn("the queue cannot be read, will try again", "queue", c.q.name, "error", err)
		if err := pause(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// maxPause is the longest wait before the store is tried again.
const maxPause = 5 * time.Second

// passing reports whether reading may do better later.
func passing(err error) bool { return errors.Is(err, eventstore.ErrUnavailable) }

// follow keeps the board up to date until ctx is done.
func (c *crew) follow(ctx context.Context) error {
	for wait := c.q.opts.Backoff; ; wait = min(2*wait, maxPause) {
		before := c.board.position()
		err := c.read(ctx)
		if ctx.Err() != nil || !passing(err) {
			return err
		}
		if c.board.position() != before {
			wait = c.q.opts.Backoff
		}
		c.q.opts.Logger.Warn("following the queue failed, will try again", "queue", c.q.name, "error", err)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (b *board) position() eventstore.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pos
}

func (c *crew) read(ctx context.Context) error {
	opts := eventstore.SubscribeAllOptions{After: c.board.position(), Filter: c.q.filter()}
	for m, err := range c.q.store.SubscribeAll(ctx, opts) {
		if err == nil {
			err = c.q.show(ctx, c.board, &m)
		}
		if err != nil {
			return err
		}
		c.board.mu.Lock()
		c.live = c.live || m.Kind == eventstore.MessageCaughtUp
		c.dispatch()
		due := c.board.seen >= max(c.q.opts.CheckpointEvery, 2*len(c.board.open))
		c.board.mu.Unlock()
		if due {
			signal(c.tidy)
		}
	}
	return context.Cause(ctx)
}

// dispatch begins what can be begun. The board is locked.
func (c *crew) dispatch() {
	if !c.live || c.leaving {
		return
	}
	for c.busy < c.q.opts.Concurrency {
		cl := c.next()
		if cl == nil {
			break
		}
		c.busy++
		c.wg.Go(func() { c.toil(cl) })
	}
	var alarm time.Time
	if line := c.board.line; len(line) > 0 && c.busy < c.q.opts.Concurrency {
		alarm = line[0].at
	}
	if alarm != c.alarm {
		c.alarm = alarm
		signal(c.wake)
	}
}

// next claims the next command for this worker, or returns nil. The board is
// locked.
func (c *crew) next() *claim {
	it := c.board.take(time.Now())
	if it == nil {
		return nil
	}
	it.claim = &claim{crew: c, item: it, stream: c.q.stream(it.id), version: it.version, held: it.held}
	return it.claim
}

// toil carries out one command after the other, as long as there is one.
func (c *crew) toil(cl *claim) {
	for cl != nil {
		cl.carryOut()
		c.board.mu.Lock()
		if cl = nil; !c.leaving {
			cl = c.next()
		}
		if cl == nil {
			c.busy--
			c.dispatch()
		}
		c.board.mu.Unlock()
	}
}

// attend wakes the crew when something falls due.
func (c *crew) attend(ctx context.Context, ended <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-timer.C:
			c.board.mu.Lock()
			c.alarm = time.Time{}
			c.dispatch()
			c.board.mu.Unlock()
		case <-c.wake:
			c.board.mu.Lock()
			alarm := c.alarm
			c.board.mu.Unlock()
			timer.Stop()
			if !alarm.IsZero() {
				timer.Reset(time.Until(alarm))
			}
		}
	}
}

// leave waits for what is under way.
func (c *crew) leave(stopWork context.CancelCauseFunc, stopWrite func()) {
	c.board.mu.Lock()
	c.leaving = true
	c.board.mu.Unlock()
	patience := time.AfterFunc(c.q.opts.StopTimeout, func() { stopWork(errStopped) })
	defer patience.Stop()
	end := time.AfterFunc(c.q.opts.StopTimeout+writeTimeout, stopWrite)
	defer end.Stop()
	c.wg.Wait()
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pause waits, less a random part of up to the half, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(jitter(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
