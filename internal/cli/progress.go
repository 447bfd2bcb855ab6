package cli

import (
	"context"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/foldstream/foldstream/eventstore"
)

// progressAfter is how long a scan takes before it is worth a bar.
const progressAfter = time.Second

// A progress shows how far a scan is, on a terminal only.
type progress struct {
	w     io.Writer
	head  int64
	begun time.Time
	n     uint
	bar   *progressbar.ProgressBar // nil until it takes long
}

func newProgress(ctx context.Context, store eventstore.Store, w io.Writer) (*progress, error) {
	if !isTerminal(w) {
		return nil, nil
	}
	head, err := store.Head(ctx)
	if err != nil {
		return nil, err
	}
	return &progress{w: w, head: int64(head), begun: time.Now()}, nil
}

// at says that the scan has come to p. It looks at the clock now and then.
func (p *progress) at(pos eventstore.Position) {
	if p == nil {
		return
	}
	if p.n++; p.n%1024 != 0 || time.Since(p.begun) < progressAfter {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(p.head,
			progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription("reading all events"), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(min(int64(pos), p.head)) // only drawing can fail
}

func (p *progress) done() {
	if p != nil && p.bar != nil {
		_ = p.bar.Clear()
	}
}
