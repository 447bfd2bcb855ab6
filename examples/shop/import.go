package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

// How an import keeps the disk busy: many commands are at work, so that the
// store syncs many with one write, and many more are read ahead, because
// neighbouring lines are mostly about one cart and have to wait for each other.
const (
	importWorkers = 256
	importAhead   = 16 << 10 // lines
)

// A verdict is what became of a line.
type verdict uint8

const (
	accepted  verdict = iota // carried out, or a repeat
	declined                 // by the business
	malformed                // no command at all
	failed                   // the store could not say
)

// An importSummary counts what became of the lines of a file. Blank lines are
// not counted.
type importSummary struct {
	Lines     int     `json:"lines"`
	Accepted  int     `json:"accepted"`
	Refused   int     `json:"refused"`
	Malformed int     `json:"malformed"`
	Seconds   float64 `json:"seconds"`
}

func (s *importSummary) words() string {
	return fmt.Sprintf("%d lines, %d accepted, %d refused, %d malformed", s.Lines, s.Accepted, s.Refused, s.Malformed)
}

// An importer sends the commands of a file to the bus, those of one cart or
// order in the order of the file.
type importer struct {
	bus    *command.Bus
	ledger ledger
	meter  *meter
	broken atomic.Pointer[error] // what no line after it got past
}

// textLine is a line as it was read; err when it could not be.
type textLine struct {
	number int
	text   []byte
	read   int64 // bytes of the file up to here
	err    error
}

// run imports src. It goes on after lines that are refused or malformed, which
// it reports in the order of the file, and ends early, with a summary of what
// was decided, when ctx is done, src cannot be read or the store fails.
func (im *importer) run(ctx context.Context, src io.Reader) (importSummary, error) {
	start := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	inOrder := make(chan *job, importAhead)
	w := newWindow(importWorkers, importAhead+2) // what is in inOrder, and one before and after it
	go im.schedule(ctx, stop, readLines(ctx, src), w, inOrder)

	var s importSummary
	for j := range inOrder {
		<-j.done
		im.count(&s, j)
		if j.result == failed {
			stop(j.err)
		}
		if s.Seconds = time.Since(start).Seconds(); s.Lines%64 == 0 {
			im.meter.set(j.read, fmt.Sprintf("%s, %.0f lines/s", s.words(), float64(s.Lines)/s.Seconds))
		}
	}
	w.close()
	s.Seconds = time.Since(start).Seconds()
	if err := context.Cause(ctx); err != nil {
		return s, err
	}
	return s, nil
}

// readLines reads ahead in a goroutine of its own, because a read from a pipe
// cannot be interrupted. It ends with the source or, at the next line, with ctx.
func readLines(ctx context.Context, src io.Reader) <-chan []textLine {
	const batch = 128
	out := make(chan []textLine, 4)
	go func() {
		defer close(out)
		r := newLineReader(src)
		for {
			lines := make([]textLine, 0, batch)
			for len(lines) < batch {
				text, err := r.next()
				if errors.Is(err, io.EOF) {
					break
				}
				lines = append(lines, textLine{r.line, slices.Clone(text), r.read, err})
				if err != nil && !errors.Is(err, errLongLine) || r.src.Buffered() == 0 {
					break // nothing to go on with, or not now
				}
			}
			if len(lines) == 0 {
				return
			}
			select {
			case out <- lines:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// schedule turns lines into jobs until there are no more.
func (im *importer) schedule(ctx context.Context, stop context.CancelCauseFunc, lines <-chan []textLine, w *window, inOrder chan<- *job) {
	defer close(inOrder)
	for {
		select {
		case <-ctx.Done():
			return
		case batch, ok := <-lines:
			if !ok {
				return
			}
			for _, l := range batch {
				if l.err != nil && !errors.Is(l.err, errLongLine) {
					stop(fmt.Errorf("line %d: read: %w", l.number, l.err))
					return
				}
				j, keys := im.job(ctx, l)
				select {
				case inOrder <- j: // waits while the window is full
				case <-ctx.Done():
					return
				}
				if j.run != nil {
					w.add(j, keys...)
				}
			}
		}
	}
}

// job makes the job of a line and names what it must wait for: its cart and
// its order.
func (im *importer) job(ctx context.Context, l textLine) (*job, []string) {
	j := &job{line: l.number, read: l.read, done: make(chan struct{})}
	cmd, id, err := parseLine(l)
	if err != nil {
		j.result, j.err = malformed, err
		close(j.done)
		return j, nil
	}
	j.run = func() {
		if err := context.Cause(ctx); err != nil { // not begun yet, and not any more
			j.result, j.err = failed, err
			return
		}
		// what was begun is finished
		j.result, j.err = im.decide(context.WithoutCancel(ctx), cmd, id)
	}
	keys := keysOf(cmd)
	if id != nil {
		keys = append(keys, "id-"+*id)
	}
	return j, keys
}

func parseLine(l textLine) (cmd any, id *string, err error) {
	if l.err != nil {
		return nil, nil, l.err
	}
	m, err := parseMessage(l.text)
	if err != nil {
		return nil, nil, err
	}
	name, ok := m.texts["type"]
	if !ok {
		return nil, nil, missing("type", "text", m)
	}
	k, ok := kinds[name]
	if !ok {
		return nil, nil, fmt.Errorf("type %.64q is not known; the types are %s", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	delete(m.texts, "type")
	if text, ok := m.texts["id"]; ok {
		id = &text
		delete(m.texts, "id")
	} else if _, ok := m.numbers["id"]; ok {
		return nil, nil, missing("id", "text", m)
	}
	cmd, err = k.command(m)
	return cmd, id, err
}

func keysOf(cmd any) []string {
	switch c := cmd.(type) {
	case cart.Checkout:
		return []string{"cart-" + c.Cart, "order-" + c.Order}
	case order.Pay, order.Ship, order.Cancel:
		return []string{"order-" + aggregateID(c)}
	default:
		return []string{"cart-" + aggregateID(c)}
	}
}

func aggregateID(cmd any) string { return cmd.(interface{ AggregateID() string }).AggregateID() }

func (im *importer) decide(ctx context.Context, cmd any, id *string) (verdict, error) {
	if broken := im.broken.Load(); broken != nil {
		return failed, *broken
	}
	var opts []command.SendOption
	if id != nil {
		if err := terms.CheckID("id", *id); err != nil {
			return declined, err
		}
		seen, err := im.ledger.seen(ctx, *id)
		if err != nil {
			return im.fail(err)
		}
		if seen {
			return accepted, nil
		}
		opts = append(opts, command.WithID(*id))
	}
	_, err := command.Send(ctx, im.bus, cmd, opts...)
	if err != nil && !refused(err) {
		return im.fail(err)
	}
	if id != nil {
		if err := im.ledger.note(ctx, *id, err == nil); err != nil {
			return im.fail(err)
		}
	}
	if err != nil {
		return declined, err
	}
	return accepted, nil
}

func (im *importer) fail(err error) (verdict, error) {
	im.broken.CompareAndSwap(nil, &err)
	return failed, err
}

// count adds a line to the summary and reports it unless it was accepted.
func (im *importer) count(s *importSummary, j *job) {
	switch j.result {
	case accepted:
		s.Accepted++
	case declined:
		s.Refused++
		im.meter.note(fmt.Sprintf("line %d: refused: %v", j.line, j.err))
	case malformed:
		s.Malformed++
		im.meter.note(fmt.Sprintf("line %d: malformed: %v", j.line, j.err))
	case failed:
		return
	}
	s.Lines++
}
