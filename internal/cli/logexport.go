package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logExportCommand struct {
	Dir      string   `arg:"" help:"Directory of the store."`
	File     string   `arg:"" optional:"" help:"File to write, which must not exist; standard output by default."`
	From     uint64   `placeholder:"N" help:"First position to write; by default the beginning."`
	Limit    int      `short:"n" placeholder:"N" help:"At most so many events; 0 means all."`
	Type     []string `short:"t" sep:"none" placeholder:"TYPE" help:"Only events of this type; may be given several times."`
	Category []string `sep:"none" placeholder:"NAME" help:"Only streams of this category, the part of a name before its first dash; may be given several times."`
	NoSystem bool     `help:"Leave out metadata and tombstones, and with them what was deleted and limited."`
}

// Help implements kong.HelpProvider.
func (*logExportCommand) Help() string {
	return `One event a line, in the order of positions, in the form of foldstream streams
read -o json. Data that is JSON stands there as it is, other data in base64, with
"encoding":"base64". foldstream log import makes the same store of it, byte for
byte. The store may be in use.

Examples:

  foldstream log export ./events events.jsonl
  foldstream log export ./events | gzip > events.jsonl.gz
  foldstream log export ./events --category order --type order.placed | jq .data`
}

// Validate implements kong's interface for that.
func (c *logExportCommand) Validate() error { return checkLimit(c.Limit) }

// Run writes the events.
func (c *logExportCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	return l.with(ctx, w, c.Dir, readOnly, func(store *logstore.Store) error {
		if c.File == "" {
			_, err := c.export(ctx, store, w.out, w)
			return err
		}
		var report logstore.ExportReport
		err := toFile(c.File, func(f io.Writer) (err error) {
			report, err = c.export(ctx, store, f, w)
			return err
		})
		if err != nil {
			return err
		}
		return l.say(w, fmt.Sprintf("%d events written to %s, %s", report.Events, c.File, sizeText(report.Bytes)), report)
	})
}

func (c *logExportCommand) export(ctx context.Context, store eventstore.Store, to io.Writer, w *world) (logstore.ExportReport, error) {
	bar := newWorkBar(w.err, isTerminal(w.err) && (c.File != "" || !isTerminal(w.out)), "exporting", false)
	defer bar.done()
	return logstore.Export(ctx, store, to, &logstore.ExportOptions{
		From: eventstore.Position(c.From), Limit: c.Limit, Progress: bar.at,
		Filter: eventstore.Filter{Types: c.Type, Categories: c.Category, ExcludeSystem: c.NoSystem},
	})
}

// toFile makes a file that is there whole or not at all.
func toFile(path string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return wrongUsage("%s exists already; remove it, or choose another name", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // it may be closed
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err == nil { // unlike a rename it replaces nothing
		return os.Remove(f.Name())
	}
	return os.Rename(f.Name(), path) // not every file system has links
}

// escapeGlob returns a pattern that matches path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
