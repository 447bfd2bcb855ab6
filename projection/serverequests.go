package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// serve takes the requests that this runner can serve and carries them out,
// each in a goroutine of its own that ends with Run.
func (f *follower) serve(ctx context.Context, notes map[string][]byte) {
	for name, data := range notes {
		if !strings.HasPrefix(name, requestNote) {
			continue
		}
		var r Request
		if err := json.Unmarshal(data, &r); err != nil || !f.canServe(&r) {
			continue // it is another's, or expires
		}
		taken, err := f.p.store.TakeNote(ctx, f.p.name, name)
		if err != nil || taken == nil {
			continue // another was faster
		}
		f.r.opts.Logger.Info("request taken", "view", f.p.name, "request", string(r.Kind), "id", r.ID)
		f.spawn(func(ctx context.Context) { f.carryOut(ctx, &r) })
	}
}

// canServe reports whether this runner is one that may take the request.
func (f *follower) canServe(r *Request) bool {
	f.mu.Lock()
	rebuilding, pl := f.rebuildOn != nil, f.pl
	f.mu.Unlock()
	switch {
	case r.Kind == RequestCancelRebuild:
		return rebuilding
	case r.Partition < 0:
		return true
	}
	if pl == nil {
		return false
	}
	for _, l := range pl.here() {
		if l.index == r.Partition {
			return true
		}
	}
	return false
}

func (f *follower) carryOut(ctx context.Context, r *Request) {
	reply := Reply{ID: r.ID, Owner: f.r.opts.Owner}
	f.reply(ctx, &reply)
	alive, stop := context.WithCancel(ctx)
	said := make(chan struct{})
	var progress atomic.Pointer[Progress]
	go func() { // says now and then that it is alive
		defer close(said)
		f.stayAlive(alive, reply, &progress)
	}()
	result, err := f.do(ctx, r, &progress)
	stop()
	<-said
	reply.Done, reply.Result, reply.Progress = true, result, progress.Load()
	if err != nil {
		reply.Error = err.Error()
	}
	f.reply(context.WithoutCancel(ctx), &reply)
}

func (f *follower) stayAlive(ctx context.Context, reply Reply, progress *atomic.Pointer[Progress]) {
	for pause(ctx, nil, signOfLife) == nil {
		reply.Progress = progress.Load()
		f.reply(ctx, &reply)
	}
}

// signOfLife is how often who asked hears how far a request is.
const signOfLife = 300 * time.Millisecond

// reply tells who asked. One who does not hear of it is told so by time.
func (f *follower) reply(ctx context.Context, r *Reply) {
	data, err := json.Marshal(r)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = f.p.store.PutNote(ctx, f.p.name, replyNote+r.ID, data, replyTTL)
	}
	if err != nil && ctx.Err() == nil {
		f.r.opts.Logger.Warn("reply to a request is lost", "view", f.p.name, "id", r.ID, "error", err)
	}
}

func (f *follower) do(ctx context.Context, r *Request, progress *atomic.Pointer[Progress]) (*RebuildResult, error) {
	run, view := f.r, f.p.name
	switch r.Kind {
	case RequestRebuild:
		result, err := run.Rebuild(ctx, view, &RebuildOptions{Progress: func(p Progress) { progress.Store(&p) }})
		return &result, err
	case RequestCancelRebuild:
		return nil, run.CancelRebuild(view)
	case RequestRetryParked:
		return nil, f.askPartition(ctx, r, false)
	case RequestDropParked:
		return nil, f.askPartition(ctx, r, true)
	case RequestSkipTo:
		return nil, run.SkipTo(ctx, view, r.Position)
	case RequestRebuildKeys:
		return nil, run.RebuildKeys(ctx, view, r.Keys...)
	case RequestRebuildStream:
		return nil, run.RebuildStream(ctx, view, r.Stream)
	}
	return nil, fmt.Errorf("projection: this application does not know requests of kind %q; it may be older than who asked", r.Kind)
}

// askPartition tries the parked events of a stream in one partition.
func (f *follower) askPartition(ctx context.Context, r *Request, drop bool) error {
	pl := f.current()
	if pl == nil {
		return fmt.Errorf("view %q is not followed now: %w", f.p.name, ErrNotRunning)
	}
	for _, l := range pl.here() {
		if l.index == r.Partition {
			return l.ask(ctx, func(ctx context.Context, l *lane) (error, error) { return l.retryParked(ctx, r.Stream, drop) })
		}
	}
	return fmt.Errorf("partition %d of view %q: %w", r.Partition, f.p.name, ErrFenced)
}
