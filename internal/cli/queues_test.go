package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/cli"
)

type bill struct {
	Order string
	Cents int
}

func (b bill) AggregateID() string { return b.Order }

var bills = codec.New(codec.Type[bill]("bill", codec.As(codec.JSON)))

// fillQueue has commands of several states on the queue jobs of a store: a and b
// are done, c is dead-lettered, d is due in an hour.
func fillQueue(t *testing.T, store eventstore.Store) {
	bus := command.NewBus(nil)
	command.Register(bus, func(_ context.Context, b bill) (eventstore.Receipt, error) {
		if b.Cents < 0 {
			return eventstore.Receipt{}, errors.New("no such account\x1b[2J")
		}
		return eventstore.Receipt{Stream: "bill-" + b.Order, Version: 1, Position: 7}, nil
	})
	q := command.NewQueue("jobs", store, bills, bus, &command.QueueOptions{MaxFaults: 1, Worker: "test"})
	for _, c := range []struct {
		id    string
		cents int
		delay time.Duration
	}{{"a", 100, 0}, {"b", 200, 0}, {"c", -1, 0}, {"d", 400, time.Hour}} {
		_, err := command.Enqueue(t.Context(), q, bill{"42", c.cents}, command.WithID(c.id), command.WithCorrelation("talk"), command.Delay(c.delay))
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	for _, id := range []string{"a", "b", "c"} {
		_, err := q.Await(t.Context(), id)
		require.NoError(t, err)
	}
	cancel()
	require.NoError(t, <-ended)
}

// queues carries out foldstream commands.
func queues(t *testing.T, store eventstore.Store, args ...string) result {
	var out, notes bytes.Buffer
	code := cli.RunWith(t.Context(), append([]string{"commands"}, args...), strings.NewReader(""), &out, &notes, (&rig{store: store}).open)
	return result{code, out.String(), notes.String()}
}

func TestQueuedCommandsAreShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // for the times
		store := memstore.New(nil)
		fillQueue(t, store)
		assert.Equal(t, lines(`
			PENDING  SCHEDULED  RUNNING  RETRYING  DEAD-LETTERED
			      1          1        0         0              1
		`), queues(t, store, "stats", "jobs", "-o", "table").out)
		assert.Equal(t, lines(`
			ID  TYPE  KEY  STATE          TRIES  ENQUEUED                  DUE                       REASON
			c   bill  42   dead-lettered      1  2000-01-01T00:00:00.000Z                            no such account\x1b[2J
			d   bill  42   pending            0  2000-01-01T00:00:00.000Z  2000-01-01T01:00:00.000Z
		`), queues(t, store, "list", "jobs", "-o", "table").out)
		assert.Equal(t, "c\n", ids(t, queues(t, store, "list", "jobs", "-s", "dead-lettered")))
		assert.Equal(t, "c\nd\na\nb\n", ids(t, queues(t, store, "list", "jobs", "--all", "--key", "42", "--type", "bill")))
		assert.Equal(t, "c\nd\n", ids(t, queues(t, store, "list", "jobs", "--all", "-n", "2")))
		assert.Equal(t, "no such commands on queue jobs\n", queues(t, store, "list", "jobs", "--key", "9", "-o", "table").err)
		assert.Equal(t, lines(`
			id            a
			type          bill
			key           42
			state         done
			tries         1
			enqueued      2000-01-01T00:00:00.000Z
			changed       2000-01-01T00:00:00.000Z
			worker        test
			receipt       bill-42 at version 1, position 7
			conversation  talk
			data          {"Order":"42","Cents":100}
		`), queues(t, store, "show", "jobs", "a", "-o", "table").out)
		var shown map[string]any
		require.NoError(t, json.Unmarshal([]byte(queues(t, store, "show", "jobs", "c").out), &shown))
		assert.Equal(t, map[string]any{"Order": "42", "Cents": -1.0}, shown["data"])
		assert.Equal(t, "failed", shown["outcome"])
		assert.Equal(t, "dead-lettered", shown["state"])
		assert.NotContains(t, shown, "receipt")
	})
}

// ids returns the ids in lines of JSON.
func ids(t *testing.T, r result) string {
	t.Helper()
	require.Zero(t, r.code, r.err)
	var b strings.Builder
	for line := range strings.Lines(r.out) {
		var s struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(line), &s))
		b.WriteString(s.ID + "\n")
	}
	return b.String()
}

func TestQueuedCommandsAreMended(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	fillQueue(t, store)
	assert.Equal(t, "1 command will be tried again\n", queues(t, store, "retry", "jobs", "--all", "-o", "table").out)
	assert.Equal(t, "d\nc\n", ids(t, queues(t, store, "list", "jobs", "-s", "pending")), "others went on meanwhile")
	assert.JSONEq(t, `{"commands":2}`, queues(t, store, "drop", "jobs", "c", "d", "--yes", "-m", "enough").out)
	assert.Contains(t, queues(t, store, "show", "jobs", "c", "-o", "table").out, "reason        enough\n")
	assert.Empty(t, ids(t, queues(t, store, "list", "jobs")))
	for _, wrong := range []struct {
		code int
		err  string
		args []string
	}{
		{1, `foldstream: command x is not on queue jobs: the id is wrong`, []string{"show", "jobs", "x"}},
		{1, `foldstream: command a of queue jobs is done: cannot retry it`, []string{"retry", "jobs", "a"}},
		{2, `never carried out; add --yes if that is meant`, []string{"drop", "jobs", "a"}},
		{2, `name commands of queue "jobs", or give --all`, []string{"retry", "jobs"}},
		{2, `"a-b" is no name of a queue`, []string{"stats", "a-b"}},
		{2, `"a-b" is no name of a queue`, []string{"retry", "a-b", "x"}},
		{2, `give --all or --state, not both`, []string{"list", "jobs", "--all", "-s", "done"}},
		{2, `no state is called "dead"`, []string{"list", "jobs", "-s", "dead"}},
		{2, `give --connection or --log, not both`, []string{"list", "jobs", "--log", t.TempDir(), "-c", "esdb://x"}},
	} {
		got := queues(t, store, wrong.args...)
		assert.Equal(t, wrong.code, got.code, wrong.args)
		assert.Contains(t, got.err, wrong.err)
	}
}

func TestQueuesOfAnEmbeddedStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "events")
	store, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	fillQueue(t, store)
	assert.Equal(t, "c\nd\n", ids(t, queues(t, nil, "list", "jobs", "--log", dir)), "while it is in use")
	got := queues(t, nil, "retry", "jobs", "--all", "--log", dir)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.err, "is in use by another process; stop that one first")
	require.NoError(t, store.Close())
	assert.JSONEq(t, `{"commands":1}`, queues(t, nil, "retry", "jobs", "--all", "--log", dir).out)
	assert.Equal(t, "d\nc\n", ids(t, queues(t, nil, "list", "jobs", "--log", dir, "--state", "pending")))
}
