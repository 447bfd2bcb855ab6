package groups

import (
	"context"
	"errors"
	"log/slog"
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
				m.lock <- struct{}{} // for those who wait
			}
			loaded = nil
		case <-ctx.Done():
		}
	}
	stopping := ctx.Err() != nil
	cancel()
	close(m.end) // who is about to start a group gives up, and then the lock
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
