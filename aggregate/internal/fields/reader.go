package fields

import (
	"encoding/binary"
	"errors"
	"math"
)

var errMalformed = errors.New("fields: data does not fit the type")

// A reader takes data apart. What it refuses it does not make room for.
type reader struct{ data []byte }

func (in *reader) uvarint() (uint64, error) {
	u, n := binary.Uvarint(in.data)
	if n <= 0 {
		return 0, errMalformed
	}
	in.data = in.data[n:]
	return u, nil
}

func (in *reader) take(n int) ([]byte, error) {
	if n > len(in.data) {
		return nil, errMalformed
	}
	head := in.data[:n]
	in.data = in.data[n:]
	return head, nil
}

func (in *reader) bool() (bool, error) {
	b, err := in.take(1)
	if err != nil || b[0] > 1 {
		return false, errMalformed
	}
	return b[0] == 1, nil
}

func (in *reader) bytes() ([]byte, error) {
	n, err := in.uvarint()
	if err != nil || n > uint64(len(in.data)) {
		return nil, errMalformed
	}
	return in.take(int(n))
}

func (in *reader) into(b []byte) error {
	data, err := in.take(len(b))
	copy(b, data)
	return err
}

func (in *reader) float() (float64, error) {
	b, err := in.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// length returns how many elements a list has, and whether there is a list.
// Every element that has a size takes at least one byte.
func (in *reader) length(size uintptr) (n int, there bool, err error) {
	u, err := in.uvarint()
	if err != nil || u == 0 {
		return 0, false, err
	}
	u--
	if size > 0 && u > uint64(len(in.data)) || u > math.MaxInt32 {
		return 0, false, errMalformed
	}
	return int(u), true, nil
}
