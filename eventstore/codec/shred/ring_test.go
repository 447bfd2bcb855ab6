package shred_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

var errDown = errors.New("connection refused")

// another is a process of its own with the same keys.
func (r *rig) another(opts *shred.Options) *rig {
	ring := shred.NewRing(r.keys, opts)
	return &rig{codec.New(append(types(), ring.Seal())...), ring, r.keys}
}

func TestAnOutageIsNotAnErasure(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	rec := r.encode(t, ada())
	r.keys.fail(errDown)
	assert.Equal(t, ada(), r.decode(t, rec), "what is remembered needs no store")

	other := r.another(nil)
	_, err := other.Decode(rec)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, errDown)
	_, err = other.ring.Erased(rec.Metadata)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	_, err = other.Encode(ada())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.NotErrorIs(t, err, shred.ErrErased)
	require.ErrorIs(t, other.ring.Erase(t.Context(), "customer/ada"), eventstore.ErrUnavailable)
	_, err = other.Encode(plain{"tea"})
	require.NoError(t, err, "what is not personal goes on")

	r.keys.fail(nil)
	assert.Equal(t, ada(), other.decode(t, rec))
}

func TestALostStoreOfKeysIsNotAnErasure(t *testing.T) {
	t.Parallel()
	rec := newRig(codec.Msgpack).encode(t, ada())
	empty := newRig(codec.Msgpack)
	for range 2 {
		_, err := empty.Decode(rec)
		require.ErrorIs(t, err, shred.ErrUnknownKey)
		require.ErrorIs(t, err, eventstore.ErrUnavailable, "it is waited for")
		var unknown *shred.UnknownKeyError
		require.ErrorAs(t, err, &unknown)
		assert.Equal(t, "customer/ada", unknown.Subject)
		empty.encode(t, ada()) // with another key
	}
	require.NoError(t, empty.ring.Erase(t.Context(), "customer/ada")) // the loss is accepted
	assert.Equal(t, erasedAda(), empty.decode(t, rec))
}

func TestAnErasureByAnotherProcessIsSeenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here := newRig(codec.Msgpack)
		there := here.another(&shred.Options{MaxAge: time.Minute})
		rec := here.encode(t, ada())
		assert.Equal(t, ada(), there.decode(t, rec))
		require.NoError(t, here.ring.Erase(t.Context(), "customer/ada"))
		assert.Equal(t, erasedAda(), here.decode(t, rec), "at once where it was done")
		time.Sleep(time.Minute)
		assert.Equal(t, ada(), there.decode(t, rec))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, erasedAda(), there.decode(t, rec))

		require.NoError(t, here.ring.Admit(t.Context(), "customer/ada"))
		again := here.encode(t, ada())
		assert.Equal(t, ada(), there.decode(t, again), "a new key is asked for, whatever is remembered")
		assert.Equal(t, erasedAda(), there.decode(t, rec))
	})
}

func TestARingRemembersABoundedNumberOfSubjects(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	small := r.another(&shred.Options{MaxSubjects: 10})
	var recs []eventstore.Recorded
	for i := range 30 {
		event := ada()
		event.ID = fmt.Sprint(i)
		recs = append(recs, r.encode(t, event))
	}
	before := r.keys.asked
	for range 3 {
		for i := range recs {
			small.decode(t, recs[i])
			small.decode(t, recs[i])
			small.decode(t, recs[0]) // asked for all the time, so it stays
		}
	}
	assert.LessOrEqual(t, r.keys.asked-before, 90)
	assert.GreaterOrEqual(t, r.keys.asked-before, 85)
	before = r.keys.asked
	for i := range recs {
		r.decode(t, recs[i])
	}
	assert.Zero(t, r.keys.asked-before)
}

// slow answers Find with what it knew when it was asked.
type slow struct {
	shred.Memory

	asked, answer chan struct{}
}

func (s *slow) Find(ctx context.Context, subject string) (shred.Keys, error) {
	keys, err := s.Memory.Find(ctx, subject)
	s.asked <- struct{}{}
	<-s.answer
	return keys, err
}

// An answer that was given before an erasure and comes after it must not be
// remembered.
func TestAnAnswerFromBeforeAnErasureIsNotRemembered(t *testing.T) {
	t.Parallel()
	keys := &slow{asked: make(chan struct{}), answer: make(chan struct{})}
	events := func(r *shred.Ring) *rig { return &rig{Codec: codec.New(append(types(), r.Seal())...), ring: r} }
	rec := events(shred.NewRing(keys, nil)).encode(t, ada())
	r := events(shred.NewRing(keys, nil))
	var group sync.WaitGroup
	group.Go(func() { _, _ = r.Decode(rec) })
	<-keys.asked
	require.NoError(t, r.ring.Erase(t.Context(), "customer/ada"))
	keys.answer <- struct{}{}
	group.Wait()
	group.Go(func() {
		<-keys.asked
		keys.answer <- struct{}{}
	})
	assert.Equal(t, erasedAda(), r.decode(t, rec))
	group.Wait()
}

func TestErasingAndWritingAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	for i := range 50 {
		event := ada()
		event.ID = fmt.Sprint(i)
		subject := "customer/" + event.ID
		var group sync.WaitGroup
		var mu sync.Mutex
		var recs []eventstore.Recorded
		for range 4 {
			group.Go(func() {
				for {
					e, err := r.Encode(event)
					if err != nil {
						assert.ErrorIs(t, err, shred.ErrErased)
						return
					}
					mu.Lock()
					recs = append(recs, eventstore.Recorded{Type: e.Type, ContentType: e.ContentType, Data: e.Data, Metadata: e.Metadata})
					mu.Unlock()
				}
			})
		}
		group.Go(func() { assert.NoError(t, r.ring.Erase(t.Context(), subject)) })
		group.Wait()
		for _, rec := range recs {
			v := r.decode(t, rec)
			assert.Equal(t, "[erased]", v.(registered).Name)
		}
	}
}

func TestTheStoreIsNotWaitedForEndlessly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ring := shred.NewRing(hanging{}, &shred.Options{Timeout: time.Second})
		_, err := codec.New(append(types(), ring.Seal())...).Encode(ada())
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

type hanging struct{ shred.KeyStore }

func (hanging) Make(ctx context.Context, _ string) (shred.Keys, error) {
	<-ctx.Done()
	return shred.Keys{}, ctx.Err()
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	for name, inner := range encodings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(codec.Msgpack)
			enc := r.ring.Encoding(inner)
			assert.Equal(t, inner.ContentType(), enc.ContentType())
			back := func(data []byte) (v registered) {
				require.NoError(t, enc.Unmarshal(data, &v))
				return utc(v).(registered)
			}
			doc := ada()
			data, err := enc.Append([]byte("before"), &doc)
			require.NoError(t, err)
			assert.Equal(t, "before", string(data[:6]))
			data = data[6:]
			assert.NotContains(t, string(data), "Lovelace")
			assert.Equal(t, ada(), back(data))

			bad := append(data[:20:20], data[21:]...)
			require.Error(t, enc.Unmarshal(bad, new(registered)))

			require.NoError(t, r.ring.Erase(t.Context(), "customer/ada"))
			assert.Equal(t, erasedAda(), back(data))
			data, err = enc.Marshal(ada())
			require.NoError(t, err, "a view must not fail")
			assert.Equal(t, erasedAda(), back(data))

			want, err := inner.Marshal(plain{"tea"})
			require.NoError(t, err)
			got, err := enc.Marshal(plain{"tea"})
			require.NoError(t, err)
			assert.Equal(t, want, got)
			var p plain
			require.NoError(t, enc.Unmarshal(got, &p))
			assert.Equal(t, plain{"tea"}, p)
			_, err = enc.Marshal(struct {
				Name string `personal:"ID"`
			}{})
			require.ErrorContains(t, err, `"ID"`)
		})
	}
	r := newRig(codec.Msgpack)
	enc := r.ring.Encoding(codec.Msgpack)
	data, err := enc.Marshal(party())
	require.NoError(t, err)
	require.NoError(t, r.ring.Erase(t.Context(), "guest/bob"))
	again, err := enc.Marshal(party())
	require.NoError(t, err)
	for _, data := range [][]byte{data, again} {
		var got invited
		require.NoError(t, enc.Unmarshal(data, &got))
		want := party()
		want.Letter, want.Guests[1].Name = "", "somebody"
		assert.Equal(t, want, got)
	}
}
