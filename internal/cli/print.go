package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/foldstream/foldstream/eventstore"
)

// A printer writes events. What it was given may wait until flush.
type printer interface {
	event(r *eventstore.Recorded) error
	flush() error
}

// printer returns what writes the events of a stream, or of $all.
func (s *streamsCommand) printer(w *world, stream string) printer {
	if !s.table(w) {
		buf := bufio.NewWriterSize(w.out, 64<<10)
		return &linePrinter{buf: buf, enc: newEncoder(buf)}
	}
	version := column{"VERSION", true}
	rest := []column{{title: "CREATED"}, {title: "TYPE"}, {title: "DATA"}}
	if stream == allStreams {
		head := []column{{"POSITION", true}, {title: "STREAM"}, version}
		return &tablePrinter{table: newTable(w.out, append(head, rest...)...), all: true}
	}
	return &tablePrinter{table: newTable(w.out, append([]column{version}, rest...)...)}
}

// newEncoder returns an encoder of one line for each value, with <, > and & as
// they are.
func newEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// A linePrinter writes a line of JSON for each event.
type linePrinter struct {
	buf *bufio.Writer
	enc *json.Encoder
}

func (p *linePrinter) event(r *eventstore.Recorded) error { return p.enc.Encode(recordOf(r)) }
func (p *linePrinter) flush() error                       { return p.buf.Flush() }

// A tablePrinter writes a row for each event.
type tablePrinter struct {
	*table

	all bool // with the stream and the position
}

const (
	maxName = 80  // characters of a name in a table
	maxData = 200 // characters of data in a table
)

func (p *tablePrinter) event(r *eventstore.Recorded) error {
	cells := make([]string, 0, 6)
	if p.all {
		cells = append(cells, strconv.FormatUint(uint64(r.Position), 10), shown(r.Stream, maxName))
	}
	return p.add(append(cells, strconv.FormatUint(uint64(r.Version), 10), timeText(r), shown(r.Type, maxName), dataText(r))...)
}

// timeFormat has a fixed width.
const timeFormat = "2006-01-02T15:04:05.000Z"

func timeText(r *eventstore.Recorded) string { return r.Created.UTC().Format(timeFormat) }

// dataText returns data that is text as it is, and of other data the size.
func dataText(r *eventstore.Recorded) string {
	switch {
	case len(r.Data) == 0:
		return ""
	case isJSON(r):
		var compact bytes.Buffer
		_ = json.Compact(&compact, r.Data) // is JSON
		return shown(compact.String(), maxData)
	case readable(r.Data):
		return shown(string(r.Data), maxData)
	}
	return fmt.Sprintf("(%d bytes %s)", len(r.Data), shown(r.ContentType, maxName))
}

// readable reports whether data is text.
func readable(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' {
			return false
		}
	}
	return true
}
