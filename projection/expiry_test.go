package projection_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// visits counts the payments of everybody, for a minute after the last.
type visits struct{ N int }

type visitors struct {
	store  eventstore.Store
	visits *projection.Collection[visits]
	runner *projection.Runner
	stop   func() error
}

var errBroke = errors.New("broke")

// expiring runs a test in virtual time with documents that live for a minute.
func expiring(t *testing.T, f func(t *testing.T, v *visitors)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{store: memstore.New(nil)}
		v.visits = memview.NewCollection[visits](memview.New(), "visits", &projection.TargetOptions{PerKey: true, TTL: time.Minute})
		p := projection.New("visits", events, projection.On(v.visits, func(d visits, e paid, _ projection.Meta) (visits, error) {
			if e.Cents < 0 {
				return d, errBroke
			}
			return visits{d.N + 1}, nil
		}, projection.Key(func(paid, projection.Meta) string { return "all" })))
		v.runner = projection.NewRunner(v.store, &projection.Options{Partitions: 1}, p)
		v.stop = start(t, v.runner)
		f(t, v)
	})
}

// pay has a customer pay and waits until that is in the view.
func (v *visitors) pay(t *testing.T, customer string, cents int64) {
	t.Helper()
	put(t, v.store, "customer-"+customer, paid{Cents: cents})
	require.NoError(t, v.runner.WaitLevel(t.Context()))
}

func (v *visitors) require(t *testing.T, want int) {
	t.Helper()
	got, err := v.visits.Get(t.Context(), "all")
	if want == 0 {
		require.ErrorIs(t, err, projection.ErrNotFound)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, got.N)
}

func TestAWriteRenewsADocumentAndAnExpiredOneBeginsAnew(t *testing.T) {
	expiring(t, func(t *testing.T, v *visitors) {
		v.pay(t, "ada", 1)
		time.Sleep(50 * time.Second)
		v.pay(t, "ada", 1)
		time.Sleep(50 * time.Second)
		v.pay(t, "bob", 1)
		v.require(t, 3)
		time.Sleep(61 * time.Second)
		v.require(t, 0)
		v.pay(t, "ada", 1)
		v.require(t, 1)
		v.pay(t, "ada", 1)
		v.require(t, 2)
	})
}

func TestADocumentExpiresAlsoAcrossARestart(t *testing.T) {
	expiring(t, func(t *testing.T, v *visitors) {
		v.pay(t, "ada", 1)
		for _, c := range []struct {
			away time.Duration
			want int
		}{{50 * time.Second, 2}, {50 * time.Second, 3}, {61 * time.Second, 1}} {
			require.NoError(t, v.stop())
			time.Sleep(c.away)
			v.stop = start(t, v.runner)
			v.pay(t, "ada", 1)
			v.require(t, c.want)
		}
	})
}

// What was only read must not be taken for written when its time comes.
func TestADocumentThatWasReadInVainExpires(t *testing.T) {
	expiring(t, func(t *testing.T, v *visitors) {
		v.pay(t, "ada", 1)
		require.NoError(t, v.stop())
		time.Sleep(50 * time.Second)
		v.stop = start(t, v.runner)
		v.pay(t, "bob", -1) // is parked
		v.require(t, 1)
		time.Sleep(20 * time.Second)
		v.require(t, 0)
		v.pay(t, "ada", 1)
		v.require(t, 1)
	})
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	views := memview.New()
	for _, c := range []struct {
		opts projection.TargetOptions
		want string
	}{
		{projection.TargetOptions{TTL: time.Minute}, "need PerKey"},
		{projection.TargetOptions{TTL: -1, PerKey: true}, "0 is for good"},
	} {
		docs := memview.NewCollection[summary](views, "docs", &c.opts)
		_, err := docs.Get(t.Context(), "1")
		require.ErrorContains(t, err, c.want)
		requirePanic(t, c.want, func() { projection.New("docs", events, projection.On(docs, summary.placed)) })
	}
	_, err := memview.NewCounters(views, "n", &projection.TargetOptions{PerKey: true}).Top(t.Context(), 1)
	require.ErrorContains(t, err, "are for collections")

	docs := memview.NewCollection[summary](views, "docs", &projection.TargetOptions{TTL: time.Minute, PerKey: true})
	requirePanic(t, "leave out the TTL or the lookup", func() {
		projection.New("docs", events, projection.On(docs, summary.placed),
			projection.IndexBy(projection.NewLookup(docs, "found"), func(string, summary) []projection.Listing { return nil }))
	})
}

func requirePanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		err, _ := recover().(error)
		require.ErrorContains(t, err, want)
	}()
	f()
}

func TestAViewOfAnotherLayoutIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, views := memstore.New(nil), memview.New()
		runner := func(perKey bool, definition int) *projection.Runner {
			docs := projection.NewCollection[summary](views, "docs", codec.Msgpack, &projection.TargetOptions{PerKey: perKey})
			p := projection.New("docs", events, projection.On(docs, summary.placed), projection.Definition(definition))
			return projection.NewRunner(store, nil, p)
		}
		put(t, store, "order-1", placed{Customer: "ada"})
		r := runner(false, 1)
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())

		err := runner(true, 1).Run(t.Context())
		require.ErrorIs(t, err, projection.ErrDefinitionChanged)
		require.ErrorContains(t, err, `stored per key, the program wants ["docs"]; raise projection.Definition`)

		r = runner(true, 2)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		v, err := views.Active(t.Context(), "docs")
		require.NoError(t, err)
		require.Equal(t, 2, v.Number)
		require.Equal(t, []string{"docs"}, v.PerKey)
	})
}
