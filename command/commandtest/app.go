package commandtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/query"
)

// An Env is what an application under test gets in place of what it has in
// production.
type Env struct {
	Store eventstore.Store // in memory; the time of its events is the bubble's
	Views *memview.Store   // for its collections, see [projection.NewCollection]
	// Middleware tells the kit of the commands that are carried out. It belongs
	// first into the options of every bus, or [Sent] knows of nothing.
	Middleware command.Middleware
}

// An App is what the kit has to know of an application. What an application does
// not have stays nil.
type App struct {
	Codec    eventstore.Codec // of its events
	Commands *command.Bus
	Queries  *query.Bus
	Runner   *projection.Runner
	Queues   []*command.Queue
	// Run are further things that run until their context is done and then return
	// nil. The runner and the queues are run anyway.
	Run []func(ctx context.Context) error
}

// Test runs test with an application in a bubble of [testing/synctest]. build
// makes the application; it must start nothing that does not end by itself.
func Test(t *testing.T, build func(Env) App, test func(t *testing.T, k *Kit)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, New(t, build)) })
}

// New is [Test] for tests that have a bubble already.
func New(t testing.TB, build func(Env) App) *Kit {
	k := &Kit{t: t, env: Env{Store: memstore.New(nil), Views: memview.New()}, stopRunner: func() {}}
	k.env.Middleware = k.sent.middleware
	k.app = build(k.env)
	if k.app.Codec == nil || k.app.Commands == nil {
		t.Fatal("commandtest: an App needs a Codec and Commands")
	}
	ctx, cancel := context.WithCancel(context.Background()) // that of t is another bubble's
	k.ctx = ctx
	t.Cleanup(func() {
		k.looked()
		k.stopRunner()
		cancel()
		k.wg.Wait()
		k.ended()
	})
	return k
}

// start runs the application, once.
func (k *Kit) start() {
	k.t.Helper()
	if k.started {
		return
	}
	k.started = true
	run := slices.Clone(k.app.Run)
	for _, q := range k.app.Queues {
		run = append(run, q.Run)
	}
	for _, f := range run {
		k.wg.Go(func() { k.keep(k.ctx, f) })
	}
	k.startRunner()
	synctest.Wait()
}

// keep runs something until ctx is done, and remembers if it does not.
func (k *Kit) keep(ctx context.Context, run func(context.Context) error) {
	err := run(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.New("it ended before it was told to")
	}
	if err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.broken = append(k.broken, err)
	}
}

// ended reports what the application ran into.
func (k *Kit) ended() {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, err := range k.broken {
		k.t.Errorf("commandtest: what the application runs has failed: %v", err)
	}
	k.broken = nil
}

// A recorder keeps the commands that were carried out.
type recorder struct {
	mu  sync.Mutex
	all []*carried
}

// carried is a command that was carried out, once or, by a queue, several times.
type carried struct {
	id    string
	cmd   any
	tries int
	err   error // of the last
}

func (r *recorder) middleware(_ command.Route, next command.Handler) command.Handler {
	return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
		c := r.begin(ctx, cmd)
		receipt, err := next(ctx, cmd)
		r.mu.Lock()
		defer r.mu.Unlock()
		c.err = err
		return receipt, err
	}
}

func (r *recorder) begin(ctx context.Context, cmd any) *carried {
	id := ""
	if o := eventstore.OriginFromContext(ctx); o != nil {
		id = o.CommandID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.all, func(c *carried) bool { return id != "" && c.id == id })
	if i < 0 {
		i = len(r.all)
		r.all = append(r.all, &carried{id: id, cmd: cmd})
	}
	r.all[i].tries++
	return r.all[i]
}

// take returns copies of what was carried out since the last take.
func (r *recorder) take() []carried {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]carried, len(r.all))
	for i, c := range r.all {
		all[i] = *c
	}
	r.all = nil
	return all
}
