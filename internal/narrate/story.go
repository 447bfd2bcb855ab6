package narrate

import "strings"

// A Section is a part of a story.
type Section struct {
	Title string
	Lines []string // "nothing" when there are none
}

// Story returns what a story is about, and its sections, each with its lines
// indented below its title.
func Story(about string, sections ...Section) string {
	var b strings.Builder
	b.WriteString(about + "\n")
	for _, s := range sections {
		b.WriteString("  " + s.Title + "\n")
		lines := s.Lines
		if len(lines) == 0 {
			lines = []string{"nothing"}
		}
		for _, l := range lines {
			b.WriteString("    " + strings.ReplaceAll(l, "\n", "\n      ") + "\n")
		}
	}
	return b.String()
}
