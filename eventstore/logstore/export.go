package logstore

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/foldstream/foldstream/eventstore"
)

// Progress says how far a long operation has come. Where an operation reports
// it, it does so from time to time, on the goroutine of its caller.
type Progress struct {
	Events uint64 // done with
	Done   int64  // of Total, in bytes, or in positions where the operation says so
	Total  int64  // 0 when it is not known
}

// ExportOptions choose what [Export] writes. The zero value writes everything.
type ExportOptions struct {
	From     eventstore.Position // first position; 0 means the beginning
	Filter   eventstore.Filter   // which events; metadata and tombstones are events too
	Limit    int                 // at most so many events; 0 means no limit
	Progress func(Progress)      // in positions
}

// An ExportReport says what was written.
type ExportReport struct {
	Events uint64              `json:"events"`
	Bytes  int64               `json:"bytes"`
	First  eventstore.Position `json:"first"` // position of the first event, 0 when there is none
	Last   eventstore.Position `json:"last"`  // position of the last event
}

// Export writes the events of a store, of any kind, to w as JSON lines: one
// event a line in the order of positions, up to what was readable when it
// began. The store may be at work.
//
// A line has position, stream, version, type, id, created (RFC 3339, with
// nanoseconds) and contentType, and if they are not empty metadata and data.
// Data of content type application/json stands in the line as it is; where
// that cannot give the same bytes again (it is not JSON, or has a line break),
// and for every other content type, data is a string in base64, and encoding
// says base64. Metadata is an object of strings. [Import] gives all of it back
// byte for byte.
//
// What was written before an error stays.
func Export(ctx context.Context, from eventstore.Store, w io.Writer, opts *ExportOptions) (ExportReport, error) {
	var o ExportOptions
	if opts != nil {
		o = *opts
	}
	report, err := export(ctx, from, w, &o)
	if err != nil {
		return report, fmt.Errorf("export: %w", err)
	}
	return report, nil
}

const (
	exportBuffer  = 256 << 10
	progressEvery = 1024 // events
)

func export(ctx context.Context, from eventstore.Store, w io.Writer, o *ExportOptions) (report ExportReport, err error) {
	head, err := from.Head(ctx)
	if err != nil {
		return report, err
	}
	buf := bufio.NewWriterSize(w, exportBuffer)
	defer func() {
		if flushErr := buf.Flush(); err == nil {
			err = flushErr
		}
		report.Bytes -= int64(buf.Buffered()) // what could not be written
	}()
	var text []byte
	for r, err := range from.ReadAll(ctx, eventstore.ReadAllOptions{From: o.From, Limit: o.Limit, Filter: o.Filter}) {
		if err != nil {
			return report, err
		}
		text = appendLine(text[:0], &r)
		if _, err := buf.Write(text); err != nil {
			return report, err
		}
		report.Events++
		report.Bytes += int64(len(text))
		if report.Last = r.Position; report.First == 0 {
			report.First = r.Position
		}
		if o.Progress != nil && report.Events%progressEvery == 0 {
			o.Progress(Progress{Events: report.Events, Done: int64(r.Position), Total: int64(head)})
		}
	}
	return report, nil
}
