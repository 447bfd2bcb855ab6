package commandlimit_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandlimit"
	"github.com/foldstream/foldstream/eventstore"
)

func TestEachKeyHasItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := commandlimit.New(10, time.Second, &commandlimit.Options{Burst: 2})
		for _, key := range []string{"a", "b"} {
			for range 2 {
				_, ok := l.Take(key)
				require.True(t, ok)
			}
			after, ok := l.Take(key)
			require.False(t, ok)
			require.InDelta(t, 100*time.Millisecond, after, float64(time.Microsecond))
		}
		time.Sleep(100 * time.Millisecond)
		_, ok := l.Take("a")
		assert.True(t, ok, "after the time that was told")
		_, ok = l.Take("a")
		assert.False(t, ok)
	})
}

func TestManyWhoAreRefusedDoNotSlowTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := commandlimit.New(100, time.Second, &commandlimit.Options{Burst: 1})
		var taken atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 1000 { // ten seconds
					if _, ok := l.Take("k"); ok {
						taken.Add(1)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		all.Wait()
		assert.InDelta(t, 1000, taken.Load(), 2)
	})
}

func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := commandlimit.New(1, time.Hour, &commandlimit.Options{MaxKeys: 10})
		for i := range 20 {
			_, ok := l.Take(strconv.Itoa(i))
			require.True(t, ok)
		}
		_, ok := l.Take("19")
		assert.False(t, ok, "still known")
		_, ok = l.Take("0")
		assert.True(t, ok, "forgotten")
	})
}

func TestNewRefusesARateThatIsNone(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { commandlimit.New(0, time.Second, nil) })
	assert.Panics(t, func() { commandlimit.New(1, 0, nil) })
}

type ping struct{}

func Example() {
	perTenant := commandlimit.New(100, time.Second, nil)
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{
		command.Limit(perTenant, command.TenantOf),
		command.For[ping](command.Limit(commandlimit.New(1, time.Hour, nil), nil)), // of all tenants together
	}})
	command.Register(bus, func(context.Context, ping) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	for range 2 {
		_, err := command.Send(context.Background(), bus, ping{}, command.WithMetadata(eventstore.KeyTenant, "acme"))
		fmt.Println(command.OutcomeOf(err))
	}
	// Output:
	// done
	// limited
}
