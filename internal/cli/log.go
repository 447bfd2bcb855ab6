package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// A logCommand is what its subcommands share.
type logCommand struct {
	outputFlags

	LogLevel slog.Level `default:"warn" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`

	Stats    logStatsCommand    `cmd:"" help:"Say how much a store holds."`
	Verify   logVerifyCommand   `cmd:"" help:"Look for damage."`
	Backup   logBackupCommand   `cmd:"" help:"Copy a store, also while it is in use."`
	Export   logExportCommand   `cmd:"" help:"Write the events of a store as JSON lines."`
	Import   logImportCommand   `cmd:"" help:"Make a store of JSON lines."`
	Scavenge logScavengeCommand `cmd:"" help:"Remove what is deleted for ever."`
}

// Help implements kong.HelpProvider.
func (*logCommand) Help() string {
	return `Works on the directory of an embedded store: what logstore.Open is given, or
foldstream serve --data. For the streams of a server, see foldstream streams.`
}

func (l *logCommand) logger(w *world) *slog.Logger {
	return slog.New(slog.NewTextHandler(w.err, &slog.HandlerOptions{Level: l.LogLevel}))
}

// An access says whether a store is opened without being changed, which it can
// be while another process writes to it.
type access bool

const readOnly access = true

// with opens the store in dir, which must be there, does something with it and
// closes it.
func (l *logCommand) with(ctx context.Context, w *world, dir string, a access, do func(*logstore.Store) error) error {
	if err := holdsStore(dir); err != nil {
		return err
	}
	store, err := logstore.Open(dir, &logstore.Options{Logger: l.logger(w), ReadOnly: a == readOnly})
	if err != nil {
		return explainLog(ctx, dir, err)
	}
	err = do(store)
	return explainLog(ctx, dir, errors.Join(err, store.Close()))
}

// holdsStore returns an error unless a store is in dir: opening would make one.
func holdsStore(dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("%s cannot be read as a directory: %w", dir, errors.Unwrap(err))
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.log"))
	if err == nil && len(found) == 0 {
		return fmt.Errorf("%s holds no store; give the directory of logstore.Open, or of foldstream serve --data", dir)
	}
	return err
}

// explainLog returns err in the words of the command line.
func explainLog(ctx context.Context, dir string, err error) error {
	var (
		invalid *eventstore.InvalidError
		line    *logstore.LineError
	)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return errInterrupted
	case errors.As(err, &line):
		text := strings.ReplaceAll(plain(line.Err), "set ImportOptions.MaxLine", "give --max-line")
		return reword(err, fmt.Sprintf("line %d: %s; nothing was made", line.Line, text))
	case errors.Is(err, eventstore.ErrUnavailable):
		return reword(err, fmt.Sprintf("directory %s is in use by another process; stop that one first", dir))
	case errors.As(err, &invalid):
		return reword(err, fmt.Sprintf("%s %s: %s", invalid.What, invalid.Value, invalid.Remedy))
	}
	return err
}

// A workBar shows how far an operation on a store is, on a terminal only and
// once it takes long.
type workBar struct {
	w     io.Writer
	what  string
	bytes bool
	total int64 // unless the operation knows
	begun time.Time
	bar   *progressbar.ProgressBar
}

// newWorkBar returns one that draws on w if show is set.
func newWorkBar(w io.Writer, show bool, what string, bytes bool) *workBar {
	if !show {
		return nil
	}
	return &workBar{w: w, what: what, bytes: bytes, begun: time.Now()}
}

// at draws.
func (b *workBar) at(p logstore.Progress) {
	if b == nil || b.bar == nil && time.Since(b.begun) < progressAfter {
		return
	}
	total := max(p.Total, b.total)
	if b.bar == nil {
		size := total
		if size <= 0 {
			size = -1 // a spinner
		}
		b.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(b.w), progressbar.OptionSetDescription(b.what), progressbar.OptionSetWidth(30),
			progressbar.OptionShowBytes(b.bytes), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	if total > 0 {
		p.Done = min(p.Done, total)
	}
	_ = b.bar.Set64(p.Done) // only drawing can fail
}

func (b *workBar) done() {
	if b != nil && b.bar != nil {
		_ = b.bar.Clear()
	}
}

// sizeText returns a number of bytes for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for ; value >= unit && i < 4; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[i])
}
