package cli

import "runtime/debug"

// serveGCPercent bounds what a server needs for garbage to half of what it
// keeps. The index of a large store is most of that and never garbage, so
// rarer collections would cost memory and save little.
const serveGCPercent = 50

// saveMemory makes the process collect garbage for a server, unless GOGC of the
// environment says how often, and returns what undoes it.
func saveMemory(getenv func(string) string) (undo func()) {
	if getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(serveGCPercent)
	return func() { debug.SetGCPercent(before) }
}
