package crashtest

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// appendLength is how many events are appended in one step.
const appendLength = 10

// script is a sequence of events that is always the same.
type script struct{ rnd *rand.Rand }

func newScript() *script { return &script{rand.New(rand.NewPCG(3, 4))} }

// next appends what comes next.
func (s *script) next(store eventstore.Store) error {
	batch := make([]eventstore.Event, appendLength)
	for i := range batch {
		e, err := events.Encode(sold{SKU: "sku-" + strconv.Itoa(s.rnd.IntN(skus)), Quantity: 1 + s.rnd.Int64N(5)})
		if err != nil {
			return err
		}
		batch[i] = e
	}
	_, err := store.Append(context.Background(), "order-"+strconv.Itoa(s.rnd.IntN(orders)), eventstore.Any, batch...)
	return err
}

// A tape is a log in memory whose content depends on nothing but its length,
// and its length may be that of a file. So several processes have the same log,
// which grows while they read it.
type tape struct {
	*memstore.Store
	path string // of a file as long in bytes as the log in events; may be empty

	mu     sync.Mutex
	script *script
	length int
}

func newTape(path string) *tape {
	return &tape{Store: memstore.New(nil), path: path, script: newScript()}
}

// grow makes the log at least n events long, for all processes that share it.
func (l *tape) grow(n int) error {
	if err := l.play(n); err != nil || l.path == "" {
		return err
	}
	return os.Truncate(l.path, int64(n))
}

func (l *tape) play(n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.length < n; l.length += appendLength {
		if err := l.script.next(l.Store); err != nil {
			return err
		}
	}
	return nil
}

// follow has the log grow with its file until ctx is done.
func (l *tape) follow(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := l.catchUp(); err != nil {
				return err
			}
		}
	}
}

func (l *tape) catchUp() error {
	info, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	return l.play(int(info.Size()))
}

// Head is never behind what another process has seen.
func (l *tape) Head(ctx context.Context) (eventstore.Position, error) {
	if l.path != "" {
		if err := l.catchUp(); err != nil {
			return 0, err
		}
	}
	return l.Store.Head(ctx)
}

func (l *tape) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length
}

// load has the log grow by about perSecond events in a second. The returned
// function ends that and returns the length.
func (l *tape) load(t *testing.T, perSecond int) (stop func() int) {
	t.Helper()
	ended, ending := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second * appendLength / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-ending:
				return
			case <-tick.C:
				if err := l.grow(l.len() + appendLength); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	stop = func() int {
		once.Do(func() { close(ending) })
		<-ended
		return l.len()
	}
	t.Cleanup(func() { stop() })
	return stop
}

func TestATapeIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	path := emptyFile(t)
	a, b := newTape(path), newTape(path)
	require.NoError(t, a.grow(200))
	head, err := b.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 200, head)
	require.Equal(t, expect(t, a, view, nil), expect(t, b, view, nil))
}
