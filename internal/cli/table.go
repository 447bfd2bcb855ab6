package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A column of a table.
type column struct {
	title string
	right bool // numbers
}

// tableBatch is how many rows are looked at before columns get their width.
const tableBatch = 200

// A table writes rows in aligned columns as they come. Columns grow when later
// rows need it and never shrink. The title comes with the first row.
type table struct {
	w       io.Writer
	columns []column
	widths  []int
	rows    [][]string
	begun   bool
}

func newTable(w io.Writer, columns ...column) *table {
	return &table{w: w, columns: columns, widths: make([]int, len(columns))}
}

// add adds a row. Its cells are shown with what could upset a terminal escaped.
func (t *table) add(cells ...string) error {
	t.rows = append(t.rows, cells)
	if len(t.rows) >= tableBatch {
		return t.flush()
	}
	return nil
}

// flush writes the rows that were added.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	if !t.begun {
		t.begun = true
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		t.rows = append([][]string{titles}, t.rows...)
	}
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		t.line(&b, row)
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.w, b.String())
	return err
}

func (t *table) line(b *strings.Builder, row []string) {
	const gap = "  "
	last := len(row) - 1
	for last > 0 && row[last] == "" {
		last-- // no spaces at the end of a line
	}
	for i, cell := range row[:last+1] {
		room := t.widths[i] - utf8.RuneCountInString(cell)
		switch {
		case t.columns[i].right:
			b.WriteString(strings.Repeat(" ", room) + cell)
		case i < last:
			b.WriteString(cell + strings.Repeat(" ", room))
		default:
			b.WriteString(cell)
		}
		if i < last {
			b.WriteString(gap)
		}
	}
	b.WriteByte('\n')
}

// shown returns text on one line with at most limit characters, and nothing in
// it that a terminal would obey.
func shown(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > limit {
			return b.String() + fmt.Sprintf("… (%d bytes)", len(text))
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
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

// parseNumber reads a version or a position.
func parseNumber(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }
