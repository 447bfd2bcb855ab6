package race

import (
	"encoding/binary"

	"github.com/foldstream/foldstream/eventstore"
)

// An ID names an order, for libraries that want a UUID and for those that want
// text.
type ID struct {
	UUID eventstore.ID
	Text string
}

// IDs returns n ids, always the same.
func IDs(n int) []ID {
	ids := make([]ID, n)
	for i := range ids {
		id := &ids[i].UUID
		binary.BigEndian.PutUint64(id[:8], (uint64(i)+1)*0x9e3779b97f4a7c15) // spread, as random ones are
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		id[6], id[8] = id[6]&0x0f|0x80, 0x80
		ids[i].Text = id.String()
	}
	return ids
}
