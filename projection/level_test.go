package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// loseAnswer carries out the first commit that moves a checkpoint and says that
// it failed.
type loseAnswer struct {
	projection.ViewStore
	lost atomic.Bool
}

type loseAnswerSession struct {
	projection.Session
	l *loseAnswer
}

func (l *loseAnswer) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := l.ViewStore.Acquire(ctx, view, version, partition)
	return loseAnswerSession{s, l}, err
}

func (s loseAnswerSession) Commit(ctx context.Context, b *projection.Batch) error {
	err := s.Session.Commit(ctx, b)
	if err == nil && s.l.lost.CompareAndSwap(false, true) {
		return errNetwork
	}
	return err
}

// The commit that makes a new view level is carried out and its answer lost.
// The partition that is opened again has nothing to do and nothing to tell.
func TestAViewIsReadThoughTheLastAnswerOfItsBuildWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		views := &loseAnswer{ViewStore: memview.New()}
		s := newShop(memstore.New(nil), views)
		fill(t, s.store, 0, 10)
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, s.projection())
		start(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, r.WaitLevel(ctx))
		require.True(t, views.lost.Load())
		s.check(t, 10)
	})
}
