package narrate

import (
	"fmt"
	"reflect"

	"github.com/foldstream/foldstream/aggregate"
)

// Differences says, a line each, where values are not as they should be. what
// names one of them, such as "event".
func Differences[T any](what string, want, got []T) []string {
	var lines []string
	for i := range max(len(want), len(got)) {
		at := fmt.Sprintf("%s %d", what, i+1)
		switch {
		case i >= len(got):
			lines = append(lines, at+" is missing: "+Text(want[i]))
		case i >= len(want):
			lines = append(lines, at+" is one too many: "+Text(got[i]))
		default:
			lines = append(lines, difference(at, want[i], got[i])...)
		}
	}
	return lines
}

// Difference is [Differences] of two values.
func Difference(what string, want, got any) []string { return difference(what, want, got) }

func difference(what string, want, got any) []string {
	if x, y := reflect.TypeOf(want), reflect.TypeOf(got); x != y {
		return []string{fmt.Sprintf("%s is of type %v instead of %v", what, y, x)}
	}
	var lines []string
	for _, c := range aggregate.Diff(want, got) {
		at := what
		if c.Path != "" {
			at += ", " + c.Path
		}
		lines = append(lines, fmt.Sprintf("%s is %s instead of %s", at, side(c.After), side(c.Before)))
	}
	return lines
}

// side is the text of one side of a change, which may have none.
func side(v any) string {
	if v == nil {
		return "missing"
	}
	return Text(v)
}
