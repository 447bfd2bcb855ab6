package redisview_test

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

type joined struct {
	ID   string
	Name string `personal:"member/ID" erased:"[erased]"`
}

// card is a document whose personal field is sealed, where its encoding does
// that.
type card struct {
	Name string `personal:"member/ID" erased:"[erased]"`
	ID   string
}

func (c card) joined(e joined, _ projection.Meta) (card, error) { return card{e.Name, e.ID}, nil }

// everything is all that Redis holds.
func everything(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	var all strings.Builder
	keys, err := rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		dump, err := rdb.HGetAll(t.Context(), key).Result()
		if err == nil {
			for k, v := range dump {
				all.WriteString(key + " " + k + " " + v + "\n")
			}
		}
	}
	return all.String()
}

// A view in Redis that is rebuilt after an erasure has nothing left of it, and
// one with a sealing encoding never had anything.
func TestErasureReachesViewsInRedis(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ring := shred.NewRing(new(shred.Memory), nil)
	events := codec.New(ring.Seal(), codec.Type[joined]("member.joined"))
	store := memstore.New(nil)
	for _, e := range []joined{{"ada", "Ada Lovelace"}, {"bob", "Bob Dylan"}} {
		stored, err := events.Encode(e)
		require.NoError(t, err)
		_, err = store.Append(t.Context(), "member-"+e.ID, eventstore.Any, stored)
		require.NoError(t, err)
	}
	plain := redisview.NewCollection[card](rdb, "clear", nil)
	sealed := redisview.NewCollection[card](rdb, "sealed", &redisview.CollectionOptions{Encoding: ring.Encoding(codec.Msgpack)})
	views := []*projection.Projection{
		projection.New("clear", events, projection.On(plain, card.joined)),
		projection.New("sealed", events, projection.On(sealed, card.joined)),
	}
	r := projection.NewRunner(store, &projection.Options{Partitions: 1}, views...)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		stop()
		assert.NoError(t, <-ended)
	}()
	require.NoError(t, r.WaitLevel(t.Context()))
	has := everything(t, rdb)
	assert.Equal(t, 1, strings.Count(has, "Ada Lovelace"), "in the view that is not sealed")

	require.NoError(t, ring.Erase(t.Context(), "member/ada"))
	got, err := sealed.Get(t.Context(), "ada")
	require.NoError(t, err)
	assert.Equal(t, card{"[erased]", "ada"}, got, "at once")
	got, err = plain.Get(t.Context(), "ada")
	require.NoError(t, err)
	assert.Equal(t, card{"Ada Lovelace", "ada"}, got, "until it is rebuilt")

	for _, view := range []string{"clear", "sealed"} {
		done, err := r.Rebuild(t.Context(), view, nil)
		require.NoError(t, err)
		require.NoError(t, redisview.New(rdb, nil).DropVersion(t.Context(), view, done.OldVersion))
	}
	for id, want := range map[string]string{"ada": "[erased]", "bob": "Bob Dylan"} {
		got, err := sealed.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, card{want, id}, got)
		got, err = plain.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, card{want, id}, got)
	}
	assert.NotContains(t, everything(t, rdb), "Lovelace")
}
