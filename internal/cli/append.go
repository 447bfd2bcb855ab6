package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/foldstream/foldstream/eventstore"
)

type appendCommand struct {
	Stream      string        `arg:"" help:"Name of the stream, such as order-42."`
	Type        string        `short:"t" help:"Type of the event, such as order.placed; with --lines of those that name none."`
	Data        *string       `short:"d" xor:"data" placeholder:"JSON|-" help:"Data of the event; - reads it from standard input."`
	DataFile    string        `xor:"data" type:"existingfile" placeholder:"FILE" help:"File with the data of the event."`
	Metadata    string        `xor:"metadata" placeholder:"JSON" help:"Metadata of the event, a JSON object."`
	ID          eventstore.ID `xor:"id" placeholder:"UUID" help:"Id of the event; the same id again at the same version is appended once."`
	ContentType string        `xor:"type" placeholder:"TYPE" help:"Of the data; application/json unless given, and then data must be JSON."`
	Expected    expectation   `default:"any" placeholder:"any|none|exists|N" help:"What the stream must be like (${default})."`
	Lines       bool          `xor:"data,metadata,id,type" help:"Append many events, one JSON object a line of standard input."`
}

// Help implements kong.HelpProvider.
func (*appendCommand) Help() string {
	return `Examples:

  foldstream streams append order-42 --type order.placed --data '{"customer":"ada"}' --expected none
  foldstream streams append order-42 --type order.paid --expected 1 --metadata '{"actor":"ada"}'
  foldstream streams append scan-7 --type scanned --data-file page.png --content-type image/png
  foldstream streams read a-1 -o json | foldstream streams append b-1 --lines

A line of --lines has the fields that read writes: type, and if wanted data,
metadata, id, contentType and encoding; stream, version, position and created
are ignored. Lines are appended in batches of at most 500 events and 512 KiB,
each of them whole or not at all.

EventStoreDB keeps application/json; any other content type it keeps as
application/octet-stream.`
}

// Validate implements kong's interface for that.
func (c *appendCommand) Validate() error {
	if c.Type == "" && !c.Lines {
		return wrongUsage("an event needs a type; give --type, such as order.placed")
	}
	return nil
}

// Run appends and prints where the stream ended.
func (c *appendCommand) Run(ctx context.Context, s *streamsCommand, w *world) error {
	in := w.in
	if c.Lines || c.Data != nil && *c.Data == "-" { // else what there is to read is for somebody else
		from := interruptible(ctx, w.in)
		defer func() { _ = from.Close() }() // never fails
		in = from
	}
	if c.Lines {
		return s.with(ctx, w, func(store eventstore.Store) error {
			l := &lineAppender{store: store, stream: c.Stream, typ: c.Type, expected: c.Expected.Expected}
			err := l.run(ctx, in)
			if err == nil || l.appended > 0 {
				err = errors.Join(l.after(err), c.print(s, w, l.receipt, l.appended))
			}
			return err
		})
	}
	event, err := c.event(in)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	return s.with(ctx, w, func(store eventstore.Store) error {
		receipt, err := store.Append(ctx, c.Stream, c.Expected.Expected, event)
		if unavailable, ok := errors.AsType[*eventstore.UnavailableError](err); ok && unavailable.Uncertain {
			unavailable.Op = "append event " + event.ID.String() // for who repeats it
		}
		if err != nil {
			return err
		}
		return c.print(s, w, receipt, 1)
	})
}

// interruptible returns a reader of in that gives up when ctx is done, which a
// read of a terminal or a pipe does not. A read that is under way then stays
// behind until there is something to read, or the process ends.
func interruptible(ctx context.Context, in io.Reader) io.ReadCloser {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err)
	}()
	return r
}

// event returns the one event that the flags describe.
func (c *appendCommand) event(in io.Reader) (eventstore.Event, error) {
	e := eventstore.Event{ID: c.ID, Type: c.Type, ContentType: c.ContentType}
	if e.ID.IsZero() {
		e.ID = eventstore.NewID()
	}
	var err error
	switch {
	case c.DataFile != "":
		e.Data, err = os.ReadFile(c.DataFile)
	case c.Data != nil && *c.Data == "-":
		e.Data, err = io.ReadAll(in)
	case c.Data != nil:
		e.Data = []byte(*c.Data)
	}
	if err != nil {
		return e, fmt.Errorf("read the data: %w", err)
	}
	if e.Metadata, err = parseMetadata([]byte(c.Metadata)); err != nil {
		return e, wrongUsage("--metadata: %w", err)
	}
	if e.ContentType == "" {
		e.ContentType = eventstore.ContentTypeJSON
		if len(e.Data) == 0 {
			e.ContentType = eventstore.ContentTypeBinary
		}
	}
	if e.ContentType == eventstore.ContentTypeJSON && !validJSON(e.Data) {
		return e, wrongUsage("data %s is not JSON%s; for other data give --content-type, such as text/plain", shown(string(e.Data), 60), because(e.Data))
	}
	return e, nil
}

// because says what is wrong with JSON.
func because(data []byte) string {
	var value json.RawMessage
	if err := json.Unmarshal(data, &value); err != nil {
		return ": " + err.Error()
	}
	return ": it is not UTF-8"
}

func (c *appendCommand) print(s *streamsCommand, w *world, r eventstore.Receipt, events int) error {
	text := fmt.Sprintf("%s is at version %d, position %d: %d appended", shown(c.Stream, maxName), r.Version, r.Position, events)
	if r.Repeated {
		text = fmt.Sprintf("%s had it already: version %d, position %d", shown(c.Stream, maxName), r.Version, r.Position)
	}
	return s.say(w, text, struct {
		eventstore.Receipt

		Events int `json:"events"`
	}{r, events})
}
