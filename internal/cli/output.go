package cli

import "io"

// An outputFlags says how results are written.
type outputFlags struct {
	Output string `short:"o" enum:"auto,table,json" default:"auto" help:"table, or json for JSON lines; a table by default when standard output is a terminal."`
	JSON   bool   `name:"json" help:"The same as -o json."`
}

// table reports whether people rather than programs read the output.
func (o *outputFlags) table(w *world) bool {
	return !o.JSON && (o.Output == "table" || o.Output == "auto" && isTerminal(w.out))
}

// say prints a result, as text for people and as JSON for programs.
func (o *outputFlags) say(w *world, text string, value any) error {
	if !o.table(w) {
		return newEncoder(w.out).Encode(value)
	}
	_, err := io.WriteString(w.out, text+"\n")
	return err
}
