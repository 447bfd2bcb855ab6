package redisview_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

const view = "orders"

// create makes version 1 of the view with one partition.
func create(t testing.TB, s *redisview.Store) {
	t.Helper()
	require.NoError(t, s.CreateVersion(t.Context(), view, projection.VersionInfo{Number: 1, Partitions: 1}))
}

func acquire(t testing.TB, s *redisview.Store) projection.Session {
	t.Helper()
	session, err := s.Acquire(t.Context(), view, 1, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() }) // a test may have closed it
	return session
}

// sized returns a batch of n documents and a counter, all of which say the
// position.
func sized(position eventstore.Position, n int) *projection.Batch {
	docs := projection.DocumentChanges{Collection: "docs"}
	for i := range n {
		docs.Put = append(docs.Put, projection.KeyValue{Key: fmt.Sprint("k", i), Value: []byte(strconv.FormatUint(uint64(position), 10))})
	}
	counters := projection.CounterChanges{Collection: "counts", Set: []projection.Count{{Key: "c", Value: int64(position)}}}
	return &projection.Batch{Position: position, Documents: []projection.DocumentChanges{docs}, Counters: []projection.CounterChanges{counters}}
}

// requireExact looks whether all data says what the checkpoint says.
func requireExact(t *testing.T, s *redisview.Store, n int) eventstore.Position {
	t.Helper()
	cks, err := s.Checkpoints(t.Context(), view, 1)
	require.NoError(t, err)
	items := 0
	for item, err := range s.Dump(t.Context(), view, 1) {
		require.NoError(t, err)
		items++
		if item.Kind == projection.ItemCounter {
			require.EqualValues(t, cks[0].Position, item.Count)
		} else {
			require.Equal(t, fmt.Sprint(cks[0].Position), string(item.Value), item.Key)
		}
	}
	if cks[0].Position > 0 {
		require.Equal(t, n+1, items)
	}
	return cks[0].Position
}

// A server is killed again and again while a session commits; every
// acknowledged commit is there afterwards, and data and checkpoint agree.
func TestKilledServerLeavesDataAndCheckpointInAgreement(t *testing.T) {
	t.Parallel()
	const docs, rounds = 50, 8
	srv := redistest.Start(t, redistest.AOF())
	store := redisview.New(srv.Client(t), nil)
	create(t, store)
	for range rounds {
		zombie := acquire(t, store)
		var acked eventstore.Position
		var wg sync.WaitGroup
		reached := make(chan struct{})
		wg.Go(func() { acked = commitUntilError(t.Context(), zombie, docs, reached) })
		<-reached
		srv.Kill()
		wg.Wait()
		srv.Restart()
		position := requireExact(t, store, docs)
		require.GreaterOrEqual(t, position, acked)
		require.Error(t, zombie.Commit(t.Context(), sized(position+1, docs)), "a session does not survive its connection")
		require.Equal(t, position, requireExact(t, store, docs))
		next := acquire(t, store)
		require.Equal(t, position, next.Checkpoint().Position)
		require.NoError(t, next.Close())
	}
}

// commitUntilError returns the last position that was acknowledged. It closes
// reached after some.
func commitUntilError(ctx context.Context, session projection.Session, docs int, reached chan<- struct{}) eventstore.Position {
	at := session.Checkpoint().Position
	for i := 0; ; i++ {
		if err := session.Commit(ctx, sized(at+1, docs)); err != nil {
			return at
		}
		at++
		if i == 20 {
			close(reached)
		}
	}
}

// The connection is cut without the session's knowledge: go-redis would open
// another one, on which nothing is watched.
func TestASessionNeverGoesOnOverAnotherConnection(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	zombie := acquire(t, store)
	require.NoError(t, zombie.Commit(t.Context(), sized(1, 3)))
	require.NoError(t, rdb.Do(t.Context(), "client", "kill", "type", "normal", "skipme", "yes").Err())
	require.Error(t, zombie.Commit(t.Context(), sized(2, 3)))
	require.Error(t, zombie.Commit(t.Context(), sized(2, 3)))
	require.EqualValues(t, 1, requireExact(t, store, 3))
}

func TestAServerWithoutItsDataFencesSessions(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	session := acquire(t, store)
	require.NoError(t, session.Commit(t.Context(), sized(1, 3)))
	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	require.ErrorIs(t, session.Commit(t.Context(), sized(2, 3)), projection.ErrFenced)
	require.EqualValues(t, 0, rdb.DBSize(t.Context()).Val())
}

// A fail-over may lead to a server that lacks what was acknowledged. What it
// has must not be folded into.
func TestASessionDoesNotReadFromAServerThatIsBehind(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	store := redisview.New(rdb, &redisview.Options{Prefix: prefix})
	create(t, store)
	session := acquire(t, store)
	require.NoError(t, session.Commit(t.Context(), sized(7, 3)))
	read := func(checkpoint string) error {
		require.NoError(t, rdb.Set(t.Context(), prefix+"{orders:p00}:v1:ck", checkpoint, 0).Err())
		_, err := session.Documents(t.Context(), "docs", []string{"k0"})
		return err
	}
	require.NoError(t, read("1:7"))
	require.NoError(t, read("1:8"), "a commit whose reply is under way")
	require.ErrorIs(t, read("1:6"), projection.ErrFenced)
	require.ErrorIs(t, read("0:7"), projection.ErrFenced)
	require.ErrorIs(t, read("2:7"), projection.ErrFenced)
	require.ErrorContains(t, read("2:7"), "the session has epoch 1 and has committed position 7, the server has 2 and 7")
	require.ErrorContains(t, read("x"), "something else has written it")
	require.NoError(t, rdb.Del(t.Context(), prefix+"{orders:p00}:v1:ck").Err())
	_, err := session.Parked(t.Context())
	require.ErrorIs(t, err, projection.ErrFenced)
}

func TestAFullServerRefusesABatchWhole(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Args("--maxmemory-policy", "noeviction")).Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	session := acquire(t, store)
	require.NoError(t, session.Commit(t.Context(), sized(1, 3)))
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	err := session.Commit(t.Context(), sized(2, 3))
	require.ErrorContains(t, err, "nothing was written")
	require.ErrorContains(t, err, "OOM")
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.EqualValues(t, 1, requireExact(t, store, 3))
	require.ErrorContains(t, session.Commit(t.Context(), sized(2, 3)), "acquire another")
}

func TestAServerWithoutItsReplicasRefusesABatchWhole(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	session := acquire(t, store)
	require.NoError(t, session.Commit(t.Context(), sized(1, 3)))
	require.NoError(t, rdb.Do(t.Context(), "config", "set", "min-replicas-to-write", "1").Err())
	require.ErrorContains(t, session.Commit(t.Context(), sized(2, 3)), "NOREPLICAS")
	require.NoError(t, rdb.Do(t.Context(), "config", "set", "min-replicas-to-write", "0").Err())
	require.EqualValues(t, 1, requireExact(t, store, 3))
}

func TestAForeignValueUnderAKeyIsNamed(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	store := redisview.New(rdb, &redisview.Options{Prefix: prefix})
	create(t, store)
	session := acquire(t, store)
	key := prefix + "{orders:p00}:v1:d:docs"
	require.NoError(t, rdb.Set(t.Context(), key, "mine", 0).Err())
	err := session.Commit(t.Context(), sized(1, 1))
	require.ErrorIs(t, err, projection.ErrDamaged)
	require.ErrorContains(t, err, key)
	require.ErrorContains(t, err, "WRONGTYPE")
	require.ErrorContains(t, err, "rebuild the view")
	require.ErrorContains(t, err, `view "orders" version 1 partition 0`)
}

func TestAMalformedCheckpointOrPointerIsNamed(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	store := redisview.New(rdb, &redisview.Options{Prefix: prefix})
	create(t, store)
	for _, value := range []string{"", "7", "1:2:3", "a:1", "-1:1", "1:18446744073709551616"} {
		key := prefix + "{orders:p00}:v1:ck"
		require.NoError(t, rdb.Set(t.Context(), key, value, 0).Err())
		_, err := store.Acquire(t.Context(), view, 1, 0)
		require.ErrorContains(t, err, fmt.Sprintf("key %q holds %q", key, value))
		_, err = store.Checkpoints(t.Context(), view, 1)
		require.ErrorContains(t, err, fmt.Sprintf("key %q holds %q", key, value))
	}
	for _, value := range []string{"", "1", "0:1:1", "1:0:1", "x:1:1", "9999999999:1:1"} {
		key := prefix + "{orders}:active"
		require.NoError(t, rdb.Set(t.Context(), key, value, 0).Err())
		_, err := store.Documents(t.Context(), view, "docs", []string{"k"})
		require.ErrorContains(t, err, fmt.Sprintf("key %q holds %q", key, value))
	}
	require.NoError(t, rdb.Del(t.Context(), prefix+"{orders}:active").Err())
	require.NoError(t, rdb.HSet(t.Context(), prefix+"{orders}:versions", "1", "{}").Err())
	_, err := store.Versions(t.Context(), view)
	require.ErrorContains(t, err, "{orders}:versions")
}

func TestASessionLeavesNoConnectionBehind(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	clients := func() int {
		list, err := rdb.ClientList(t.Context()).Result()
		require.NoError(t, err)
		return strings.Count(list, "\n")
	}
	_, err := rdb.Pipelined(t.Context(), func(pipe redis.Pipeliner) error { return pipe.Ping(t.Context()).Err() })
	require.NoError(t, err) // go-redis has connections of their own for pipelines
	before := clients()
	session := acquire(t, store)
	require.NoError(t, session.Commit(t.Context(), sized(1, 3)))
	_, err = session.Documents(t.Context(), "docs", []string{"k"})
	require.NoError(t, err)
	require.Equal(t, before+1, clients(), "one connection for writing")
	require.NoError(t, session.Close())
	require.NoError(t, session.Close(), "closing twice")
	_, err = store.Acquire(t.Context(), view, 7, 0)
	require.ErrorIs(t, err, projection.ErrNoVersion)
	require.Eventually(t, func() bool { return clients() <= before }, 10*time.Second, 5*time.Millisecond)
	require.EqualValues(t, 0, rdb.Exists(t.Context(), "{orders:p00}:v7:ck").Val(), "no checkpoint for a version that is not there")
}

func TestDroppingLeavesNoKeyBehind(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	perKey := projection.VersionInfo{Number: 1, Partitions: 1, PerKey: []string{"docs"}}
	require.NoError(t, store.CreateVersion(t.Context(), view, perKey))
	b := sized(1, 3000)
	b.Documents = append(b.Documents, projection.DocumentChanges{Collection: "others", Put: b.Documents[0].Put})
	b.Parked = []projection.ParkedChange{{Stream: "s", Data: []byte("x")}}
	var entries []projection.Entry
	for i := range 5000 { // more than a session remembers
		entries = append(entries, projection.Entry{Key: fmt.Sprint("k", i), Member: "m"})
	}
	b.Indexes = []projection.IndexChanges{{Collection: "in:dex", Entries: entries}}
	require.NoError(t, acquire(t, store).Commit(t.Context(), b))
	require.NoError(t, store.DropVersion(t.Context(), view, 1))
	require.Equal(t, []string{"views"}, rdb.Keys(t.Context(), "*").Val(), "only the list of names")
}

func TestOtherClientsAreRefused(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{})
	t.Cleanup(func() { _ = ring.Close() })
	for _, rdb := range []redis.UniversalClient{ring, nil, (*redis.Client)(nil)} {
		_, err := redisview.New(rdb, nil).Acquire(t.Context(), view, 1, 0)
		require.ErrorContains(t, err, "client")
	}
}
