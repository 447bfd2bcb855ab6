package projection

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// A DigestResult sums up everything in a version of a view. Two versions with
// the same documents, counters and members of indexes and sets have equal
// results, whatever their partitions. What is parked is not part of it.
type DigestResult struct {
	Documents, Counters int64
	Members             int64 // of indexes and lookups
	SetMembers          int64
	Sum                 [2]uint64
}

// Digest reads a whole version of a view. A view that changes meanwhile gives
// no meaningful result.
func Digest(ctx context.Context, store ViewStore, view string, version int) (DigestResult, error) {
	var d DigestResult
	var buf []byte
	for it, err := range store.Dump(ctx, view, version) {
		if err != nil {
			return DigestResult{}, err
		}
		switch it.Kind {
		case ItemDocument:
			d.Documents++
		case ItemCounter:
			d.Counters++
		case ItemIndex:
			d.Members++
		case ItemSet:
			d.SetMembers++
		case ItemParked:
			continue
		}
		buf = appendItem(buf[:0], &it)
		sum := sha256.Sum256(buf)
		d.Sum[0] += binary.LittleEndian.Uint64(sum[:8]) // a sum, because the order is open
		d.Sum[1] += binary.LittleEndian.Uint64(sum[8:16])
	}
	return d, nil
}

func appendItem(b []byte, it *Item) []byte {
	for _, s := range []string{string(it.Kind), it.Collection, it.Key, it.Member, string(it.Value)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendVarint(b, it.Count)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(it.Score))
}
