package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A Manager keeps the groups of a store. Its methods may be called by several
// goroutines at once; until Run has loaded the groups they wait, and after Run
// has ended they return [ErrStopped]. Definitions survive in the store.
type Manager struct {
	store eventstore.Store
	log   *slog.Logger

	lock    chan struct{} // one token; who has it may use what follows
	defined map[string]entry
	running map[string]*group
	stopped bool

	start chan *group   // to Run, which owns the goroutines
	began chan struct{} // from Run, the answer
	end   chan struct{} // closed when Run accepts no more
}

// New returns a manager that waits for Run. It starts no goroutine. A nil
// logger means slog.Default.
func New(store eventstore.Store, log *slog.Logger) *Manager {
	if log == nil {
		log = slog.Default()
	}
	return &Manager{
		store: store, log: log,
		lock:    make(chan struct{}, 1),
		running: make(map[string]*group),
		start:   make(chan *group),
		began:   make(chan struct{}),
		end:     make(chan struct{}),
	}
}

// Run loads the groups and carries them until ctx is done. Then it drops all
// consumers with [ErrStopped], saves what there is to save and returns nil. It
// returns an error if the groups cannot be loaded. It can be called once.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	loaded := make(chan error, 1)
	wg.Go(func() { loaded <- m.startAll(ctx) })
	var err error
	for err == nil && ctx.Err() == nil {
		select {
		case g := <-m.start:
			var own context.Context
			own, g.cancel = context.WithCancel(ctx)
			wg.Go(func() { g.run(own) })
			m.began <- struct{}{}
		case err = <-loaded:
			if err == nil {
				m.lock <- struct{}{}
			}
			loaded = nil
		case <-ctx.Done():
		}
	}
	stopping := ctx.Err() != nil
	cancel()
	close(m.end)
	wg.Wait()
	if loaded == nil && err == nil {
		<-m.lock
	}
	m.stopped = true
	m.lock <- struct{}{}
	if stopping && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped)) {
		return nil
	}
	return err
}

// startAll starts every group that is defined. The caller has the lock, or is
// Run before anybody can have it.
func (m *Manager) startAll(ctx context.Context) error {
	defined, err := loadDefinitions(ctx, m.store)
	if err != nil {
		return err
	}
	m.defined = defined
	for _, e := range defined {
		if err := m.launch(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// launch starts a group. The caller has the lock.
func (m *Manager) launch(ctx context.Context, e entry) error {
	g, err := newGroup(e.Definition, m.store, m.log)
	if err != nil {
		return err
	}
	if err := g.load(ctx, e.After); err != nil {
		return err
	}
	select {
	case m.start <- g:
		<-m.began
	case <-m.end:
		return ErrStopped
	}
	m.running[e.Key()] = g
	return nil
}

// relaunch starts a group that is defined by now, whatever becomes of the
// caller. When the manager is stopping the next one starts it.
func (m *Manager) relaunch(ctx context.Context, e entry) error {
	if err := m.launch(context.WithoutCancel(ctx), e); !errors.Is(err, ErrStopped) {
		return err
	}
	return nil
}

// enter takes the lock; leave gives it back.
func (m *Manager) enter(ctx context.Context) error {
	select {
	case <-m.lock:
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.stopped {
		m.leave()
		return ErrStopped
	}
	return nil
}

func (m *Manager) leave() { m.lock <- struct{}{} }

// find returns a running group. The caller has the lock.
func (m *Manager) find(stream, group string) (*group, error) {
	if g := m.running[key(stream, group)]; g != nil {
		return g, nil
	}
	return nil, &NotFoundError{stream, group}
}

// Create defines a group and starts it. It returns an [*ExistsError], a
// [*FailedError] for settings that cannot work, or an
// [*eventstore.InvalidError] for a filter that is no regular expression.
func (m *Manager) Create(ctx context.Context, d Definition) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if _, exists := m.defined[d.Key()]; exists {
		return &ExistsError{d.Stream, d.Group}
	}
	e, err := m.entry(ctx, d)
	if err != nil {
		return err
	}
	if err := m.define(ctx, func(all map[string]entry) { all[d.Key()] = e }); err != nil {
		return err
	}
	return m.relaunch(ctx, e)
}

// Update changes the settings of a group, drops its consumers with a
// [*DroppedError] and lets it go on from its checkpoint; Start counts only when
// there is none. The filter stays. It returns a [*NotFoundError] or what Create
// returns.
func (m *Manager) Update(ctx context.Context, stream, group string, s Settings) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	old, exists := m.defined[key(stream, group)]
	if !exists {
		return &NotFoundError{stream, group}
	}
	d := old.Definition
	d.Settings = s
	e, err := m.entry(ctx, d)
	if err != nil {
		return err
	}
	if err := m.define(ctx, func(all map[string]entry) { all[d.Key()] = e }); err != nil {
		return err
	}
	m.halt(d.Key())
	return m.relaunch(ctx, e)
}

// Delete drops the consumers of a group and forgets it, its checkpoint and its
// parked events.
func (m *Manager) Delete(ctx context.Context, stream, group string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	k := key(stream, group)
	e, exists := m.defined[k]
	if !exists {
		return &NotFoundError{stream, group}
	}
	m.halt(k)
	err := m.forget(ctx, &e.Definition)
	if err == nil {
		err = m.define(ctx, func(all map[string]entry) { delete(all, k) })
	}
	if err != nil {
		return errors.Join(err, m.launch(context.WithoutCancel(ctx), e)) // it is still there
	}
	return nil
}

// forget deletes what a group wrote, before its definition: a group of the same
// name must not go on from an old checkpoint.
func (m *Manager) forget(ctx context.Context, d *Definition) error {
	for _, stream := range []string{d.checkpointStream(), d.parkedStream()} {
		if _, err := m.store.Delete(ctx, stream, eventstore.Any); err != nil && !errors.Is(err, eventstore.ErrConflict) && !gone(err) {
			return fmt.Errorf("delete %s: %w", stream, err)
		}
	}
	return nil
}

// halt stops a group for a change. The caller has the lock.
func (m *Manager) halt(k string) {
	if g := m.running[k]; g != nil {
		delete(m.running, k)
		g.stop(&DroppedError{g.def.Stream, g.def.Group})
	}
}

// Restart drops the consumers of all groups and loads the groups again.
func (m *Manager) Restart(ctx context.Context) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	for k := range m.running {
		m.halt(k)
	}
	return m.startAll(context.WithoutCancel(ctx)) // half of it would be worse
}

// Connect adds a consumer to a group. It returns a [*NotFoundError] or a
// [*FullError].
func (m *Manager) Connect(ctx context.Context, stream, group string, client Client) (*Consumer, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.leave()
	g, err := m.find(stream, group)
	if err != nil {
		return nil, err
	}
	return g.connect(client)
}

// Info describes a group.
func (m *Manager) Info(ctx context.Context, stream, group string) (Info, error) {
	if err := m.enter(ctx); err != nil {
		return Info{}, err
	}
	defer m.leave()
	g, err := m.find(stream, group)
	if err != nil {
		return Info{}, err
	}
	return g.info(ctx)
}

// List describes the groups of a stream, or of all streams when stream is
// empty, in the order of their names. It returns a [*NotFoundError] for a
// stream without groups.
func (m *Manager) List(ctx context.Context, stream string) ([]Info, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.leave()
	var list []Info
	for _, g := range m.running {
		if stream != "" && g.def.Stream != stream {
			continue
		}
		i, err := g.info(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	if len(list) == 0 && stream != "" {
		return nil, &NotFoundError{Stream: stream}
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Group, b.Group))
	})
	return list, nil
}

// ReplayParked hands the parked events of a group out again: those before
// revision stopAt of the parked stream, or all when limited is false. It
// returns once they wait for consumers.
func (m *Manager) ReplayParked(ctx context.Context, stream, group string, stopAt int64, limited bool) error {
	if limited && stopAt < 0 {
		return &FailedError{stream, group, "Cannot stop replaying parked message at a negative version."}
	}
	if err := m.enter(ctx); err != nil {
		return err
	}
	g, err := m.find(stream, group)
	m.leave()
	if err != nil {
		return err
	}
	if !limited {
		stopAt = -1
	}
	return g.replay(ctx, stopAt)
}
