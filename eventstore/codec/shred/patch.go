package shred

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// A patch says how one encoded value becomes another of the same type: which
// parts are put in place of which. It is one node:
//
//	0 length value              this instead
//	1 count {length key node}   of a map, these members
//	2 count {index node}        of an array, these elements
//	3                           nothing: a member goes away
//
// Numbers are uvarints. Members and elements that are not named stay.
const (
	opValue byte = iota
	opMap
	opArray
	opGone
)

// A layout knows the parts of values in an encoding, by the content type.
type layout interface {
	// parts takes a map or an array to pieces; kind is 0 for anything else.
	parts(data []byte) (kind byte, all []part)
	join(kind byte, all []part) []byte
}

// A part is a member of a map or an element of an array, encoded.
type part struct{ key, value []byte }

var errPatch = errors.New("it does not fit")

// opaque is the layout of encodings that nothing is known about.
type opaque struct{}

func (opaque) parts([]byte) (byte, []part)  { return 0, nil }
func (opaque) join(_ byte, _ []part) []byte { return nil }

// diff returns the patch that makes to of from, or nothing if there is no
// difference.
func diff(l layout, from, to []byte) []byte {
	if bytes.Equal(from, to) {
		return nil
	}
	kind, old := l.parts(from)
	kindNow, now := l.parts(to)
	switch {
	case kind != kindNow || kind == 0 || kind == opArray && len(old) != len(now):
		return appendBytes([]byte{opValue}, to)
	case kind == opArray:
		return diffArray(l, old, now)
	}
	return diffMap(l, old, now)
}

func diffArray(l layout, old, now []part) []byte {
	var nodes []byte
	count := uint64(0)
	for i := range now {
		if node := diff(l, old[i].value, now[i].value); len(node) > 0 {
			nodes = append(binary.AppendUvarint(nodes, uint64(i)), node...)
			count++
		}
	}
	return nodesOf(opArray, count, nodes)
}

func diffMap(l layout, old, now []part) []byte {
	var nodes []byte
	count := uint64(0)
	inOld, inNow := finder(old), finder(now)
	for i := range now {
		var node []byte
		if j := inOld(now[i].key, i); j >= 0 {
			node = diff(l, old[j].value, now[i].value)
		} else {
			node = appendBytes([]byte{opValue}, now[i].value)
		}
		if len(node) > 0 {
			nodes = append(appendBytes(nodes, now[i].key), node...)
			count++
		}
	}
	for i := range old {
		if inNow(old[i].key, i) < 0 {
			nodes = append(appendBytes(nodes, old[i].key), opGone)
			count++
		}
	}
	return nodesOf(opMap, count, nodes)
}

func nodesOf(op byte, count uint64, nodes []byte) []byte {
	if count == 0 { // the same in another order
		return nil
	}
	return append(binary.AppendUvarint([]byte{op}, count), nodes...)
}

// finder returns a function that finds a member by its key, first where it
// would be in a map in the same order.
func finder(all []part) func(key []byte, guess int) int {
	var byKey map[string]int
	return func(key []byte, guess int) int {
		if guess < len(all) && bytes.Equal(all[guess].key, key) {
			return guess
		}
		if len(all) <= 16 {
			return slices.IndexFunc(all, func(p part) bool { return bytes.Equal(p.key, key) })
		}
		if byKey == nil {
			byKey = make(map[string]int, len(all))
			for i := range all {
				byKey[string(all[i].key)] = i
			}
		}
		if i, ok := byKey[string(key)]; ok {
			return i
		}
		return -1
	}
}

// apply returns what a patch makes of data.
func apply(l layout, data, patch []byte) ([]byte, error) {
	out, rest, err := applyNode(l, data, patch)
	if err == nil && len(rest) > 0 {
		err = errPatch
	}
	return out, err
}

func applyNode(l layout, data, patch []byte) (out, rest []byte, err error) {
	if len(patch) == 0 {
		return nil, nil, errPatch
	}
	op, rest := patch[0], patch[1:]
	if op == opValue {
		return cutBytes(rest)
	}
	kind, all := l.parts(data)
	if op != kind {
		return nil, nil, errPatch
	}
	count, rest, err := cutUvarint(rest)
	find := finder(all[:len(all):len(all)])
	for ; err == nil && count > 0; count-- {
		if kind == opArray {
			rest, err = applyElement(l, all, rest)
		} else {
			all, rest, err = applyMember(l, all, find, rest)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(p part) bool { return p.value == nil })
	return l.join(kind, all), rest, nil
}

func applyElement(l layout, all []part, patch []byte) (rest []byte, err error) {
	i, rest, err := cutUvarint(patch)
	if err != nil || i >= uint64(len(all)) {
		return nil, errPatch
	}
	all[i].value, rest, err = applyNode(l, all[i].value, rest)
	return rest, err
}

// applyMember sets the value of a member that goes away to nil.
func applyMember(l layout, all []part, find func([]byte, int) int, patch []byte) (_ []part, rest []byte, err error) {
	key, rest, err := cutBytes(patch)
	if err != nil || len(rest) == 0 {
		return nil, nil, errPatch
	}
	i := find(key, len(all))
	gone := rest[0] == opGone
	switch {
	case gone && i < 0: // not there
		return all, rest[1:], nil
	case gone:
		all[i].value = nil
		return all, rest[1:], nil
	case i < 0:
		i, all = len(all), append(all, part{key: key})
	}
	all[i].value, rest, err = applyNode(l, all[i].value, rest)
	return all, rest, err
}

func appendBytes[T []byte | string](b []byte, data T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

func cutBytes(b []byte) (data, rest []byte, err error) {
	n, rest, err := cutUvarint(b)
	if err != nil || n > uint64(len(rest)) {
		return nil, nil, errPatch
	}
	return rest[:n:n], rest[n:], nil
}

func cutUvarint(b []byte) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, errPatch
	}
	return n, b[size:], nil
}
