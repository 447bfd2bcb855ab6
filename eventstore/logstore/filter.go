package logstore

// A bloom filter of stream names, by their hashes: every bit of one name lies
// in the same 64 bytes, so that a question costs one access to the memory.
// (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters.)
type bloom []byte

const (
	bloomLine  = 64 // bytes
	bloomBits  = 12 // for each name: about one wrong yes in 200
	bloomProbe = 6
)

// newBloom returns an empty filter for n names.
func newBloom(n int) bloom {
	lines := (n*bloomBits + 8*bloomLine - 1) / (8 * bloomLine)
	return make(bloom, max(lines, 1)*bloomLine)
}

func (b bloom) add(hash uint64) {
	line, bits := b.line(hash)
	for range bloomProbe {
		line[bits>>3&63] |= 1 << (bits & 7)
		bits >>= 9
	}
}

// has reports false when hash was certainly not added.
func (b bloom) has(hash uint64) bool {
	line, bits := b.line(hash)
	for range bloomProbe {
		if line[bits>>3&63]&(1<<(bits&7)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

// line returns the bytes that a hash's bits are in, and 54 bits that choose
// six of them.
func (b bloom) line(hash uint64) (line []byte, bits uint64) {
	lines := uint64(len(b) / bloomLine)
	i := hash >> 32 * lines >> 32 * bloomLine
	return b[i : i+bloomLine : i+bloomLine], hash * 0x9E3779B97F4A7C15 >> 10
}
