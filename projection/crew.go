package projection

import (
	"context"
	"errors"
	"sync"
	"time"
)

// crew runs the lanes of one pipeline for whoever follows or rebuilds a view.
type crew struct {
	pl    *pipeline
	ended chan ending // room for each partition
	wg    sync.WaitGroup
}

// ending says how a lane has ended; nil when it was told to.
type ending struct {
	lane *lane
	err  error
}

func newCrew(pl *pipeline) *crew {
	return &crew{pl: pl, ended: make(chan ending, 2*len(pl.lanes))}
}

// open takes partitions over, all at once, and starts their lanes. It returns
// the lanes, which have no reader yet, and an error for each partition that
// could not be taken over.
func (c *crew) open(ctx context.Context, partitions []int) (lanes []*lane, failed map[int]error) {
	opened := make([]*lane, len(partitions))
	errs := make([]error, len(partitions))
	var wg sync.WaitGroup
	for i, partition := range partitions {
		wg.Go(func() { opened[i], errs[i] = c.pl.open(ctx, partition) })
	}
	wg.Wait()
	failed = make(map[int]error)
	for i, l := range opened {
		if errs[i] != nil {
			failed[partitions[i]] = errs[i]
			continue
		}
		lanes = append(lanes, l)
	}
	return lanes, failed
}

// start runs lanes until ctx is done or they are told to stop.
func (c *crew) start(ctx context.Context, lanes []*lane) {
	for _, l := range lanes {
		c.pl.enter(l)
		c.wg.Go(func() {
			err := l.run(ctx)
			if errors.Is(err, context.Canceled) && ctx.Err() != nil {
				err = nil
			}
			l.close()
			select {
			case c.ended <- ending{l, err}:
			default: // nobody listens any more
			}
		})
	}
}

// stop has lanes end after the batch at hand and waits for them, for patience
// at most. Those that have not ended by then do so later.
func (c *crew) stop(ctx context.Context, lanes []*lane, patience time.Duration) {
	for _, l := range lanes {
		l.halt()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, l := range lanes {
		if pause(ctx, l.queue.ended, 0) != nil {
			return
		}
	}
}

// wait returns when all lanes have ended, which their context or stop asks for.
func (c *crew) wait() { c.wg.Wait() }
