package redisview_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

type visited struct{}

type visits struct{ Version eventstore.Version }

func (v visits) visited(_ visited, m projection.Meta) (visits, error) {
	return visits{m.Version}, nil
}

// How long after an append another process, which has no runner, reads its
// effect, and how long if the effect is there already.
func BenchmarkReadAfterReceiptElsewhere(b *testing.B) {
	rdb, prefix := redistest.Shared(b)
	opts := &redisview.CollectionOptions{Options: redisview.Options{Prefix: prefix}}
	known := codec.New(codec.Type[visited]("visited"))
	store := memstore.New(nil)
	here := redisview.NewCollection[visits](rdb, "visits", opts)
	r := projection.NewRunner(store, nil, projection.New("visits", known, projection.On(here, visits.visited)))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	require.NoError(b, r.WaitLevel(ctx))
	e, err := known.Encode(visited{})
	require.NoError(b, err)

	for _, by := range []string{"position", "version"} {
		for _, when := range []string{"at once", "later"} {
			b.Run(by+"/"+when, func(b *testing.B) {
				elsewhere := redisview.NewCollection[visits](rdb, "visits", opts)
				if by == "version" {
					elsewhere.VersionBy("visit", func(v visits) eventstore.Version { return v.Version })
				}
				for i := 0; b.Loop(); i++ {
					id := strconv.Itoa(i % 100)
					e.ID = eventstore.NewID()
					receipt, err := store.Append(ctx, "visit-"+id, eventstore.Any, e)
					require.NoError(b, err)
					after := eventstore.ContextAfterReceipt(ctx, receipt)
					if when == "later" {
						b.StopTimer()
						_, err = here.Get(after, id)
						require.NoError(b, err)
						b.StartTimer()
					}
					_, err = elsewhere.Get(after, id)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Microsecond), "us/read")
			})
		}
	}
	cancel()
	require.NoError(b, <-done)
}
