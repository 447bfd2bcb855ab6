package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/foldstream/foldstream/eventstore"
)

// A batch of lines is appended whole or not at all.
const (
	batchEvents = 500
	batchBytes  = 512 << 10
)

// A lineAppender appends events that come as lines of JSON.
type lineAppender struct {
	store    eventstore.Store
	stream   string
	typ      string // of events that name none
	expected eventstore.Expected

	batch    []eventstore.Event
	size     int
	appended int                // events
	receipt  eventstore.Receipt // of the last batch
}

// run reads to the end of in.
func (l *lineAppender) run(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), 2*maxAppend)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := l.parse(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if len(l.batch) == batchEvents || l.size+e.Size() > batchBytes {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
		l.batch, l.size = append(l.batch, e), l.size+e.Size()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	if l.appended+len(l.batch) == 0 {
		return errors.New("standard input has no events; give one JSON object a line")
	}
	return l.flush(ctx)
}

func (l *lineAppender) parse(line []byte) (eventstore.Event, error) {
	r := record{Type: l.typ}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields() // a misspelt name would be a lost value
	if err := dec.Decode(&r); err != nil {
		return eventstore.Event{}, fmt.Errorf("not an event such as {\"type\":\"order.placed\",\"data\":{}}: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return eventstore.Event{}, errors.New("there is more than one JSON object")
	}
	return r.event()
}

// flush appends the batch. Once a version is expected, the next batch expects
// the version that this one ended at.
func (l *lineAppender) flush(ctx context.Context) error {
	if len(l.batch) == 0 {
		return nil
	}
	receipt, err := l.store.Append(ctx, l.stream, l.expected, l.batch...)
	if err != nil {
		return err
	}
	if _, exact := l.expected.Version(); exact {
		l.expected = eventstore.Exact(receipt.Version)
	}
	l.appended += len(l.batch)
	l.receipt = receipt
	l.batch, l.size = l.batch[:0], 0
	return nil
}

// after says how far it came before err.
func (l *lineAppender) after(err error) error {
	if err == nil {
		return nil
	}
	return &partlyError{events: l.appended, version: l.receipt.Version, err: err}
}

// A partlyError says what was appended before something went wrong.
type partlyError struct {
	events  int
	version eventstore.Version
	err     error
}

func (e *partlyError) Error() string { return e.err.Error() }
func (e *partlyError) Unwrap() error { return e.err }
