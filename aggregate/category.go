package aggregate

import (
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// checkCategory panics if streams of the category would be ambiguous.
func checkCategory(category string) {
	if c, id := eventstore.SplitStream(category); category == "" || id != "" || c != category || eventstore.IsSystemStream(category) {
		panic(fmt.Sprintf("aggregate: category %q: must not be empty, contain a dash or start with a dollar sign", category))
	}
}
