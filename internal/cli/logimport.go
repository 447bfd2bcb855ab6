package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logImportCommand struct {
	Dir      string   `arg:"" help:"Directory for the store, which must be empty or not exist."`
	File     string   `arg:"" optional:"" help:"File to read; standard input by default, or for -."`
	Renumber bool     `help:"Count positions and versions anew, for lines that are only a part of a store."`
	MaxLine  lineSize `default:"64MiB" placeholder:"SIZE" help:"Longest line in bytes, or such as 128MiB (${default})."`
}

// Help implements kong.HelpProvider.
func (*logImportCommand) Help() string {
	return `Reads what foldstream log export writes: one JSON object a line. The new store has
the same ids, streams, versions, positions and times, byte for byte, and what was
deleted is deleted. When a line cannot be read nothing is made.

Only stream and type are needed; a line without id, version, position or created
gets the next one, so that a store can be made by hand:

  {"stream":"order-1","type":"order.placed","data":{"customer":"ada"}}

Examples:

  foldstream log import ./events events.jsonl
  gunzip < events.jsonl.gz | foldstream log import ./events
  foldstream log export ./all --category order | foldstream log import ./orders --renumber`
}

// Run makes the store.
func (c *logImportCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	bar := newWorkBar(w.err, isTerminal(w.err), "importing", true)
	in, size, err := c.input(ctx, w)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	if bar != nil {
		bar.total = size
	}
	report, err := logstore.Import(ctx, c.Dir, in, &logstore.ImportOptions{Renumber: c.Renumber, MaxLine: int(c.MaxLine), Progress: bar.at})
	bar.done()
	if err != nil {
		return explainLog(ctx, c.Dir, err)
	}
	return l.say(w, fmt.Sprintf("%d events in %d streams made a store in %s", report.Events, report.Streams, c.Dir), report)
}

// input returns what to read, and how long it is if that is known.
func (c *logImportCommand) input(ctx context.Context, w *world) (io.ReadCloser, int64, error) {
	if c.File == "" || c.File == "-" {
		return interruptible(ctx, w.in), 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f, info.Size(), nil
	}
	return interruptible(ctx, f), 0, nil // a pipe
}

// A lineSize is a [byteSize] of up to 1 GiB.
type lineSize byteSize

const maxLineSize = 1 << 30

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *lineSize) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text), maxLineSize)
	*l = lineSize(n)
	return err
}
