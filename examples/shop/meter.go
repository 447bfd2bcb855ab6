package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A meter shows progress: as a bar on a terminal, and otherwise as a plain
// line now and then, so that logs stay readable. It is used by one goroutine.
type meter struct {
	w     io.Writer
	bar   *progressbar.ProgressBar // nil when w is no terminal
	what  string
	every time.Duration
	last  time.Time
	shown string
}

// newMeter returns a meter of something that ends at total, or at an unknown
// point if total is negative.
func newMeter(w io.Writer, what string, total int64) *meter {
	m := &meter{w: w, what: what, every: 2 * time.Second, last: time.Now()}
	if isTerminal(w) {
		m.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true),
			progressbar.OptionShowCount())
	}
	return m
}

// set says how far it is, and in words what came of it.
func (m *meter) set(n int64, words string) {
	if m.bar != nil {
		m.bar.Describe(m.what + ": " + words)
		_ = m.bar.Set64(n) // only drawing can fail
		return
	}
	if time.Since(m.last) >= m.every {
		m.last = time.Now()
		m.plain(words)
	}
}

func (m *meter) plain(words string) {
	if words != m.shown {
		m.shown = words
		_, _ = fmt.Fprintf(m.w, "%s: %s\n", m.what, words)
	}
}

// note writes a line of its own beside the progress.
func (m *meter) note(line string) {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
	_, _ = io.WriteString(m.w, strings.TrimRight(line, "\n")+"\n")
}

// done ends the progress with its last words.
func (m *meter) done(words string) {
	if m.bar == nil {
		m.plain(words)
		return
	}
	m.bar.Describe(m.what + ": " + words)
	_ = m.bar.Finish()
	_, _ = io.WriteString(m.w, "\n")
}

// isTerminal reports whether somebody may be looking at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
