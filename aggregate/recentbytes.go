package aggregate

import (
	"encoding/binary"
	"errors"

	"github.com/foldstream/foldstream/eventstore"
)

var errRecent = errors.New("the commands in the snapshot are malformed")

// encode returns what restore reads: up to which version, and of both
// generations, the older first, how many and for each the hash and how far
// back. What was added beyond a version is left out.
func (r *recent) encode(version eventstore.Version) []byte {
	if r == nil || r.upTo > version {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(r.upTo))
	for _, generation := range []map[uint64]eventstore.Version{r.old, r.young} {
		b = binary.AppendUvarint(b, uint64(len(generation)))
		for hash, v := range generation {
			b = binary.LittleEndian.AppendUint64(b, hash)
			b = binary.AppendUvarint(b, uint64(r.upTo-v))
		}
	}
	return b
}

// restore sets r to what encode returned. Of nothing it remembers nothing.
func (r *recent) restore(data []byte) error {
	*r = recent{limit: r.limit}
	if len(data) == 0 {
		return nil
	}
	upTo, n := binary.Uvarint(data)
	if n <= 0 {
		return errRecent
	}
	got := recent{limit: r.limit, upTo: eventstore.Version(upTo)}
	data = data[n:]
	for _, generation := range []*map[uint64]eventstore.Version{&got.old, &got.young} {
		count, n := binary.Uvarint(data)
		if n <= 0 || count > uint64(len(data)-n)/9 { // 8 bytes of hash, and at least one
			return errRecent
		}
		data = data[n:]
		*generation = make(map[uint64]eventstore.Version, count)
		for range count {
			if len(data) < 9 {
				return errRecent
			}
			back, n := binary.Uvarint(data[8:])
			if n <= 0 || back > upTo {
				return errRecent
			}
			(*generation)[binary.LittleEndian.Uint64(data)] = eventstore.Version(upTo - back)
			data = data[8+n:]
		}
	}
	if len(data) > 0 {
		return errRecent
	}
	*r = got
	return nil
}
