package redisview_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
	"github.com/foldstream/foldstream/projection/redisview"
)

func TestOldEventsAreUpcastInViewsOfRedis(t *testing.T) {
	t.Parallel()
	rdb, stores := redistest.Start(t).Client(t), 0
	d := newDepot(projectiontest.NewStoreOf(func() projection.ViewStore {
		stores++
		return redisview.New(rdb, &redisview.Options{Prefix: "s" + strconv.Itoa(stores)})
	}))
	data, err := codec.Msgpack.Marshal(shipped{To: "oslo", Tags: []string{"fragile", "gift"}})
	require.NoError(t, err)
	old := eventstore.Event{Type: "shipped", ContentType: eventstore.ContentTypeMsgpack, Data: data}
	projectiontest.For(d.projection()).
		Given("parcel-1", moved{To: "rome", Weight: 2}, old, tagged{Drop: []string{"gift"}}).
		Given("parcel-2", old).
		Then(t,
			projectiontest.Document(d.parcels, "1", parcel{Place: "oslo", Weight: 2, Tags: map[string]bool{"fragile": true}}),
			projectiontest.Counter(d.moves, "oslo", 2),
			projectiontest.SetMembers(d.tags, "fragile", "1", "2"),
			projectiontest.SetMembers(d.tags, "gift", "2"),
			projectiontest.Found(d.byPlace, "oslo", "1", "2"))
}
