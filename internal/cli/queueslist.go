package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

type queueListCommand struct {
	queueArg

	State []command.State `short:"s" placeholder:"STATE" help:"Only commands in this state; may be given several times. By default all that are not finished."`
	All   bool            `help:"Also commands that are done, failed or dropped, as long as the queue keeps them."`
	Key   []string        `sep:"none" placeholder:"KEY" help:"Only commands of this key; may be given several times."`
	Type  []string        `short:"t" sep:"none" placeholder:"TYPE" help:"Only commands of this type; may be given several times."`
	Limit int             `short:"n" placeholder:"N" help:"At most so many commands; 0 means all."`
}

// Help implements kong.HelpProvider.
func (*queueListCommand) Help() string {
	return `Commands that are not finished come first, as they were enqueued, then the
others, as they finished.

Examples:

  foldstream commands list jobs
  foldstream commands list jobs --state dead-lettered
  foldstream commands list jobs --all --key 42 --json | jq -r .id`
}

// Validate implements kong's interface for that.
func (c *queueListCommand) Validate() error {
	return cmp.Or(c.queueArg.Validate(), checkLimit(c.Limit))
}

// unfinished are the states of commands that somebody still has to do with.
var unfinished = []command.State{command.StatePending, command.StateRunning, command.StateRetrying, command.StateDeadLettered}

// Run prints the commands.
func (c *queueListCommand) Run(ctx context.Context, q *queuesCommand, w *world) error {
	if c.All && len(c.State) > 0 {
		return wrongUsage("give --all or --state, not both")
	}
	f := command.ListFilter{States: c.State, Keys: c.Key, Types: c.Type}
	if !c.All && len(c.State) == 0 {
		f.States = unfinished
	}
	return q.with(ctx, w, c.Queue, readOnly, func(queue *command.Queue) error {
		p := q.statuses(w)
		n := 0
		for s, err := range queue.List(ctx, f) {
			if err != nil {
				return err
			}
			if err := p.add(&s); err != nil {
				return err
			}
			if n++; n == c.Limit {
				break
			}
		}
		if n == 0 && q.table(w) {
			_, _ = fmt.Fprintf(w.err, "no such commands on queue %s\n", c.Queue)
		}
		return p.flush()
	})
}

// A statusPrinter writes commands.
type statusPrinter struct {
	buf   *bufio.Writer
	enc   *json.Encoder // nil: a table
	table *table
}

func (c *queuesCommand) statuses(w *world) *statusPrinter {
	p := &statusPrinter{buf: bufio.NewWriter(w.out)}
	if !c.table(w) {
		p.enc = newEncoder(p.buf)
		return p
	}
	p.table = newTable(p.buf, column{title: "ID"}, column{title: "TYPE"}, column{title: "KEY"}, column{title: "STATE"}, column{"TRIES", true},
		column{title: "ENQUEUED"}, column{title: "DUE"}, column{title: "REASON"})
	return p
}

func (p *statusPrinter) add(s *command.Status) error {
	if p.enc != nil {
		return p.enc.Encode(queuedOf(s))
	}
	due := ""
	if !s.Due.IsZero() {
		due = s.Due.UTC().Format(timeFormat)
	}
	return p.table.add(shown(s.ID, maxName), shown(s.Type, maxName), shown(s.Key, maxName), s.State.String(), strconv.Itoa(s.Attempts),
		s.Enqueued.UTC().Format(timeFormat), due, shown(s.Reason, maxData))
}

func (p *statusPrinter) flush() error {
	if p.table != nil {
		if err := p.table.flush(); err != nil {
			return err
		}
	}
	return p.buf.Flush()
}

// A queued command as a line of JSON: data that is JSON is there as JSON, other
// data in base64.
type queued struct {
	*command.Status

	Outcome  string              `json:"outcome,omitempty"` // once a try has ended
	Receipt  *eventstore.Receipt `json:"receipt,omitempty"`
	Data     json.RawMessage     `json:"data,omitempty"`
	Encoding string              `json:"encoding,omitempty"`
	Metadata json.RawMessage     `json:"metadata,omitempty"`
}

func queuedOf(s *command.Status) queued {
	r := recordOf(&eventstore.Recorded{ContentType: s.ContentType, Data: s.Data, Metadata: s.Metadata})
	out := queued{Status: s, Data: r.Data, Encoding: r.Encoding, Metadata: r.Metadata}
	if s.Outcome != command.Done || s.State == command.StateDone {
		out.Outcome = s.Outcome.String()
	}
	if s.State == command.StateDone {
		out.Receipt = &s.Receipt
	}
	return out
}

type queueShowCommand struct {
	queueArg

	ID []string `arg:"" help:"Ids of commands."`
}

// Help implements kong.HelpProvider.
func (*queueShowCommand) Help() string {
	return `Example:

  foldstream commands show jobs 6f1c0a52-8a0d-4d0e-9b41-3c9a4d3f7a10`
}

// Run prints commands.
func (c *queueShowCommand) Run(ctx context.Context, q *queuesCommand, w *world) error {
	return q.with(ctx, w, c.Queue, readOnly, func(queue *command.Queue) error {
		for i, id := range c.ID {
			s, err := queue.Get(ctx, id)
			if err != nil {
				return err
			}
			text := statusText(&s)
			if i > 0 {
				text = "\n" + text
			}
			if err := q.say(w, text, queuedOf(&s)); err != nil {
				return err
			}
		}
		return nil
	})
}

// statusText returns a command for people.
func statusText(s *command.Status) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(timeFormat)
	}
	receipt := ""
	if s.Receipt.Stream != "" {
		receipt = fmt.Sprintf("%s at version %d, position %d", s.Receipt.Stream, s.Receipt.Version, s.Receipt.Position)
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"id", s.ID}, {"type", s.Type}, {"key", s.Key}, {"state", s.State.String()}, {"tries", strconv.Itoa(s.Attempts)},
		{"enqueued", at(s.Enqueued)}, {"changed", at(s.Changed)}, {"due", at(s.Due)}, {"worker", s.Worker}, {"reason", s.Reason}, {"receipt", receipt},
		{"cause", s.Metadata.Get(eventstore.KeyCausationID)}, {"conversation", s.Metadata.Get(eventstore.KeyCorrelationID)},
		{"data", dataText(&eventstore.Recorded{ContentType: cmp.Or(s.ContentType, eventstore.ContentTypeBinary), Data: s.Data})},
	} {
		if line[1] != "" {
			_, _ = fmt.Fprintf(&b, "%-12s  %s\n", line[0], shown(line[1], 100*maxData))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
