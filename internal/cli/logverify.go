package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logVerifyCommand struct {
	Dir   string `arg:"" help:"Directory of the store."`
	Limit int    `short:"n" default:"100" placeholder:"N" help:"At most so many damages are listed (${default})."`
}

// Help implements kong.HelpProvider.
func (*logVerifyCommand) Help() string {
	return `Reads everything and checks each checksum, the order of positions, the versions of
every stream, that appends are whole, and the index files. Each damage is listed
with file and offset, and the exit code is 1. Nothing is changed, and the store
may be in use.

Damage to an index file (INDEX) costs no event: remove the file while nobody has
the store open, and it is made again. Damage to a segment is for a backup.

Examples:

  foldstream log verify ./events
  foldstream log verify ./events --json | jq -r '.damages[].file'`
}

// Validate implements kong's interface for that.
func (c *logVerifyCommand) Validate() error {
	if c.Limit < 1 {
		return wrongUsage("--limit %d is too low; give at least 1", c.Limit)
	}
	return nil
}

// Run reads everything.
func (c *logVerifyCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	if err := holdsStore(c.Dir); err != nil {
		return err
	}
	report, err := verify(ctx, c.Dir, c.Limit, w)
	if err != nil && !errors.Is(err, eventstore.ErrCorrupt) {
		return explainLog(ctx, c.Dir, err)
	}
	if printErr := c.print(l, w, &report); printErr != nil {
		return printErr
	}
	if n := len(report.Damages) + report.More; n > 0 {
		return reword(err, fmt.Sprintf("%s is damaged in %s", c.Dir, counted(n, "place")))
	}
	return nil
}

func verify(ctx context.Context, dir string, limit int, w *world) (logstore.VerifyReport, error) {
	bar := newWorkBar(w.err, isTerminal(w.err), "verifying", true)
	defer bar.done()
	return logstore.Verify(ctx, dir, &logstore.VerifyOptions{Limit: limit, Progress: bar.at})
}

func (c *logVerifyCommand) print(l *logCommand, w *world, r *logstore.VerifyReport) error {
	if !l.table(w) {
		if r.Damages == nil {
			r.Damages = []logstore.Damage{} // not null
		}
		return newEncoder(w.out).Encode(r)
	}
	if r.Unfinished > 0 {
		_, _ = fmt.Fprintf(w.err, "%s of an append that is being written, or that a crash has torn; the next start cuts them\n", counted(int(r.Unfinished), "byte"))
	}
	if len(r.Damages) == 0 {
		_, err := fmt.Fprintf(w.out, "%d events in %s and %s, %s: all is well\n", r.Events, counted(r.Streams, "stream"), counted(r.Segments, "segment"), sizeText(r.Bytes))
		return err
	}
	t := newTable(w.out, column{title: "FILE"}, column{"OFFSET", true}, column{title: "OF"}, column{title: "DAMAGE"})
	for _, d := range r.Damages {
		of := "EVENTS"
		if d.Index {
			of = "INDEX"
		}
		if err := t.add(shown(d.File, maxData), strconv.FormatInt(d.Offset, 10), of, shown(d.Reason, maxData)); err != nil {
			return err
		}
	}
	if r.More > 0 {
		_, _ = fmt.Fprintf(w.err, "%d more are not listed; see --limit\n", r.More)
	}
	return t.flush()
}

// counted returns a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
