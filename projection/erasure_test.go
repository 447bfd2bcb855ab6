package projection_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// signedUp has personal data.
type signedUp struct {
	ID   string
	Name string `personal:"member/ID" erased:"[erased]"`
	Plan string
}

type member struct {
	ID   string
	Name string `personal:"member/ID" erased:"[erased]"`
	Plan string
}

func (m member) signedUp(e signedUp, _ projection.Meta) (member, error) { return member(e), nil }

// outage is a store of keys that may be down.
type outage struct {
	shred.Memory

	down atomic.Bool
}

func (o *outage) Find(ctx context.Context, subject string) (shred.Keys, error) {
	if o.down.Load() {
		return shred.Keys{}, errors.New("no route to the keys")
	}
	return o.Memory.Find(ctx, subject)
}

// A store of keys that is down stops views and effects. Nothing is shown as
// erased, and nothing is parked.
func TestViewsWaitForKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := new(outage)
		writes := codec.New(codec.Type[signedUp]("member.signed-up"), shred.NewRing(keys, nil).Seal())
		store, views := memstore.New(nil), memview.New()
		for _, id := range []string{"ada", "bob"} {
			e, err := writes.Encode(signedUp{id, "name of " + id, "gold"})
			require.NoError(t, err)
			_, err = store.Append(t.Context(), "member-"+id, eventstore.Any, e)
			require.NoError(t, err)
		}
		keys.down.Store(true)
		ring := shred.NewRing(keys, nil)
		events := codec.New(codec.Type[signedUp]("member.signed-up"), ring.Seal())
		members := projection.NewCollection[member](views, "members", codec.Msgpack, nil)
		var greeted []string
		r := projection.NewRunner(store, &projection.Options{Partitions: 1},
			projection.New("members", events, projection.On(members, member.signedUp)),
			projection.NewReactor("greeter", events, views, projection.StartAt(0), projection.React(func(_ context.Context, e signedUp, _ projection.Meta) error {
				greeted = append(greeted, e.Name)
				return nil
			})))
		start(t, r)
		time.Sleep(10 * time.Minute)
		all, err := r.Status(t.Context())
		require.NoError(t, err)
		for _, s := range all {
			require.ErrorIs(t, s.Err, eventstore.ErrUnavailable, s.View)
		}
		assert.Empty(t, greeted)
		require.NoError(t, ring.Erase(t.Context(), "member/bob"))

		keys.down.Store(false)
		require.NoError(t, r.WaitLevel(t.Context()))
		for _, view := range []string{"members", "greeter"} {
			parked, err := r.Parked(t.Context(), view)
			require.NoError(t, err)
			assert.Empty(t, parked, view)
		}
		for id, want := range map[string]string{"ada": "name of ada", "bob": "[erased]"} {
			got, err := members.Get(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, member{id, want, "gold"}, got)
		}
		assert.Equal(t, []string{"name of ada", "[erased]"}, greeted)
	})
}
