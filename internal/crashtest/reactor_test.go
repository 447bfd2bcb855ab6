package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

const (
	mails      = "mails"      // the reactor
	mailLog    = "mail-log"   // list of what effects did, in the order in which they did it
	mailsSent  = "mails-sent" // set of the positions whose effect has ended
	effectTime = 5 * time.Millisecond
	history0   = 500 // events that are there before the reactor is
)

// newReactor returns a reactor whose effect takes a while and says when it
// begins and ends.
func newReactor(rdb redis.UniversalClient) *projection.Projection {
	return projection.NewReactor(mails, events, redisview.New(rdb, nil),
		projection.React(func(ctx context.Context, _ sold, m projection.Meta) error {
			if m.Replay {
				return projection.Poison(fmt.Errorf("position %d is a replay", m.Position))
			}
			err := mail(ctx, rdb, m)
			if err != nil { // it is broken off, and says so whatever ctx says
				rdb.RPush(context.WithoutCancel(ctx), mailLog, mailLine("broken", m))
			}
			return err
		}))
}

func mail(ctx context.Context, rdb redis.UniversalClient, m projection.Meta) error {
	if err := rdb.RPush(ctx, mailLog, mailLine("begin", m)).Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(effectTime):
	}
	_, err := rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.RPush(ctx, mailLog, mailLine("end", m))
		tx.SAdd(ctx, mailsSent, uint64(m.Position))
		return nil
	})
	return err
}

func mailLine(what string, m projection.Meta) string {
	return fmt.Sprintf("%s %d %s %d %d", what, os.Getpid(), m.Stream, m.Version, m.Position)
}

// One process or several react to a backlog and to what comes meanwhile, and
// are killed, told to leave, or stopped for a while.
func TestAReactorThatIsKilledReactsToEverythingInOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			const rounds = 12
			server := redistest.Start(t)
			rdb := server.Client(t)
			log := newTape(emptyFile(t))
			require.NoError(t, log.grow(history0))
			j := job{Redis: server.Addr(), Tape: log.path, React: true}
			var procs []*process
			for range n {
				procs = append(procs, spawn(t, j))
			}
			waitFor(t, "the reactor to begin", func() bool { return procs[0].now().State == projection.StateLive })
			require.NoError(t, log.grow(history0+3000)) // a backlog, so that slices are full when kills come
			stop := log.load(t, 300)
			kills := 0
			for i := range rounds {
				moreMails(t, rdb, rand.IntN(200)+1)
				victim := rand.IntN(n)
				switch i % 6 {
				case 4:
					procs[victim].leave()
				case 5:
					procs[victim].signal(syscall.SIGSTOP)
					spare := spawn(t, j) // without it nobody may be left
					moreMails(t, rdb, rand.IntN(200)+1)
					procs[victim].signal(syscall.SIGCONT)
					moreMails(t, rdb, rand.IntN(200)+1)
					spare.kill()
					kills += 2 // what is stopped and taken over repeats like what is killed
					continue
				default:
					procs[victim].kill()
					kills++
				}
				procs[victim] = spawn(t, j)
			}
			total := stop()
			waitFor(t, "all effects", func() bool { return sent(t, rdb) >= total-history0 })
			for _, p := range procs {
				p.leave()
			}
			checkMails(t, rdb, log, kills)
		})
	}
}

func sent(t *testing.T, rdb *redis.Client) int {
	t.Helper()
	n, err := rdb.SCard(t.Context(), mailsSent).Result()
	require.NoError(t, err)
	return int(n)
}

// moreMails waits for n more events to be reacted to.
func moreMails(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	target := sent(t, rdb) + n
	waitFor(t, "effects", func() bool { return sent(t, rdb) >= target })
}

// checkMails looks at all that effects did: each event at least once, of one
// stream in order and in one process one after the other, nothing of the time
// before the reactor, and nothing parked. How much may be repeated is measured in
// package projection, in virtual time.
func checkMails(t *testing.T, rdb *redis.Client, log *tape, kills int) {
	t.Helper()
	type at struct {
		stream  string
		version eventstore.Version
	}
	type worker struct {
		pid    int
		stream string
	}
	next := make(map[string]eventstore.Version) // of a stream, that has had no effect yet
	missing := make(map[at]bool)
	for rec, err := range log.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		if rec.Position <= history0 {
			continue
		}
		missing[at{rec.Stream, rec.Version}] = true
		if next[rec.Stream] == 0 {
			next[rec.Stream] = rec.Version
		}
	}
	lines, err := rdb.LRange(t.Context(), mailLog, 0, -1).Result()
	require.NoError(t, err)
	begun, repeats := make(map[worker]eventstore.Version), 0
	for _, line := range lines {
		var what string
		var w worker
		var e at
		var position eventstore.Position
		_, err := fmt.Sscan(line, &what, &w.pid, &e.stream, &e.version, &position)
		require.NoError(t, err, line)
		w.stream = e.stream
		require.Greater(t, position, eventstore.Position(history0), "what was there before is history: %s", line)
		require.LessOrEqual(t, e.version, next[e.stream], "an event before it has had no effect: %s", line)
		switch what {
		case "begin":
			require.Zero(t, begun[w], "the effect of another event of the stream is under way: %s", line)
			begun[w] = e.version
			continue
		case "broken":
			delete(begun, w)
			continue
		}
		delete(begun, w)
		if e.version == next[e.stream] {
			next[e.stream]++
		}
		if !missing[e] {
			repeats++
		}
		delete(missing, e)
	}
	require.Empty(t, missing, "events without effect")
	t.Logf("%d kills, %d lines, %d effects were repeated", kills, len(lines), repeats)
	parked, err := projection.NewRunner(log, options(), newReactor(rdb)).Parked(t.Context(), mails)
	require.NoError(t, err)
	require.Empty(t, parked)
}
