package redisview_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// A drop that was interrupted keeps the number of its version.
func TestRebuildAfterAnInterruptedDrop(t *testing.T) {
	rdb, prefix := redistest.Shared(t)
	type ev struct{}
	events := codec.New(codec.Type[ev]("ev"))
	c := redisview.NewCounters(rdb, "n", &redisview.CollectionOptions{Options: redisview.Options{Prefix: prefix}})
	views := redisview.New(rdb, &redisview.Options{Prefix: prefix})
	r := projection.NewRunner(memstore.New(nil), nil, projection.New("n", events, projection.OnCount(c, func(ev, projection.Meta) []projection.Delta { return nil })))
	_, err := r.Rebuild(t.Context(), "n", nil)
	require.NoError(t, err)
	// version 2 was being dropped when its process died
	require.NoError(t, views.CreateVersion(t.Context(), "n", projection.VersionInfo{Number: 2, Partitions: 16, Definition: 1, Created: time.Now()}))
	key := prefix + "{n}:versions"
	require.NoError(t, rdb.HSet(t.Context(), key, strconv.Itoa(2), `{"number":2,"partitions":16,"definition":1,"created":"2026-01-01T00:00:00Z","dropping":true}`).Err())
	_, err = r.Rebuild(t.Context(), "n", nil)
	require.NoError(t, err)
}
