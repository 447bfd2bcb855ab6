package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// A queuesCommand is what its subcommands share.
type queuesCommand struct {
	outputFlags
	serverFlags

	Log string `name:"log" type:"path" placeholder:"DIR" help:"Work on the directory of an embedded store instead of a server."`

	Stats queueStatsCommand `cmd:"" help:"Say how many commands wait, run and are dead-lettered."`
	List  queueListCommand  `cmd:"" help:"List the commands of a queue."`
	Show  queueShowCommand  `cmd:"" help:"Show a command: its data, its state and why."`
	Retry queueRetryCommand `cmd:"" help:"Have workers try commands again."`
	Drop  queueDropCommand  `cmd:"" help:"Give up commands for ever."`
}

// Help implements kong.HelpProvider.
func (*queuesCommand) Help() string {
	return `Works on the queues of command.NewQueue, in the event store that keeps them:
a server, see foldstream streams --help for --connection, or with --log the
directory of an embedded store. To retry and drop, no other process may have that
directory open.

A command is pending, running, retrying, done, failed (it was answered with a
no), dead-lettered (it was given up and waits for you) or dropped. Its events
are those of the stream QUEUE-ID: foldstream streams read QUEUE-ID.`
}

// A queueArg names a queue.
type queueArg struct {
	Queue string `arg:"" help:"Name of the queue."`
}

// Validate implements kong's interface for that.
func (q *queueArg) Validate() error {
	if q.Queue == "" || strings.Contains(q.Queue, "-") || eventstore.IsSystemStream(q.Queue) {
		return wrongUsage("%q is no name of a queue: it must not be empty, contain a dash or start with a dollar sign", q.Queue)
	}
	return nil
}

// with opens the store, does something with the queue and closes the store.
func (c *queuesCommand) with(ctx context.Context, w *world, name string, a access, do func(*command.Queue) error) error {
	onStore := func(s eventstore.Store) error { return do(command.NewQueue(name, s, nil, nil, nil)) }
	if c.Log == "" {
		return c.serverFlags.with(ctx, w, onStore)
	}
	if c.Connection != "" {
		return wrongUsage("give --connection or --log, not both")
	}
	l := &logCommand{LogLevel: c.LogLevel}
	return l.with(ctx, w, c.Log, a, func(s *logstore.Store) error { return onStore(s) })
}

type queueStatsCommand struct{ queueArg }

// Help implements kong.HelpProvider.
func (*queueStatsCommand) Help() string {
	return `PENDING counts those that wait for a worker, for others of their key or for
their time; SCHEDULED, of these, those that wait for their time.

Examples:

  foldstream commands stats jobs
  foldstream commands stats jobs --log ./events --json | jq .dead_lettered`
}

// Run prints the figures of a queue.
func (c *queueStatsCommand) Run(ctx context.Context, q *queuesCommand, w *world) error {
	return q.with(ctx, w, c.Queue, readOnly, func(queue *command.Queue) error {
		s, err := queue.Stats(ctx)
		if err != nil {
			return err
		}
		if !q.table(w) {
			return newEncoder(w.out).Encode(s)
		}
		t := newTable(w.out, column{"PENDING", true}, column{"SCHEDULED", true}, column{"RUNNING", true}, column{"RETRYING", true}, column{"DEAD-LETTERED", true})
		var cells []string
		for _, n := range []int{s.Pending, s.Scheduled, s.Running, s.Retrying, s.DeadLettered} {
			cells = append(cells, strconv.Itoa(n))
		}
		if err := t.add(cells...); err != nil {
			return err
		}
		return t.flush()
	})
}
