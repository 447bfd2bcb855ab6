package aggregate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/foldstream/foldstream/eventstore"
)

// A payload is what is in [Snapshot.Data]:
//
//	byte     format, 1
//	uvarint  version of the first event in the state
//	16 bytes id of the last event in the state
//	uvarint  length, and that many bytes: the recent commands
//	uvarint  length, and that many bytes: the state
//	4 bytes  CRC-32C, little endian, of the snapshot's other fields and of all
//	         of the above
type payload struct {
	first  eventstore.Version
	lastID eventstore.ID
	recent []byte
	state  []byte
}

const payloadFormat = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errDamaged = errors.New("the snapshot is damaged")
	errCut     = errors.New("the snapshot is cut short")
)

// seal sets s.Data to the bytes of p. The other fields of s must be set, but
// for Created.
func (s *Snapshot) seal(p payload) {
	b := make([]byte, 0, 1+binary.MaxVarintLen64*3+len(p.lastID)+len(p.recent)+len(p.state)+crc32.Size)
	b = append(b, payloadFormat)
	b = binary.AppendUvarint(b, uint64(p.first))
	b = append(b, p.lastID[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(p.recent))), p.recent...)
	b = append(binary.AppendUvarint(b, uint64(len(p.state))), p.state...)
	s.Data = s.appendChecksum(b)
}

// unseal takes s.Data apart. The parts share its memory.
func (s *Snapshot) unseal() (payload, error) {
	n := len(s.Data) - crc32.Size
	if n < 1 {
		return payload{}, errCut
	}
	if s.Data[0] != payloadFormat {
		return payload{}, fmt.Errorf("the snapshot has format %d, known is %d", s.Data[0], payloadFormat)
	}
	body := s.Data[:n]
	if binary.LittleEndian.Uint32(s.Data[n:]) != s.checksum(body) {
		return payload{}, errDamaged
	}
	var p payload
	first, k := binary.Uvarint(body[1:])
	if k <= 0 || len(body) < 1+k+len(p.lastID) {
		return payload{}, errCut
	}
	p.first = eventstore.Version(first)
	body = body[1+k+copy(p.lastID[:], body[1+k:]):]
	var ok bool
	if p.recent, body, ok = cut(body); !ok {
		return payload{}, errCut
	}
	if p.state, body, ok = cut(body); !ok || len(body) > 0 {
		return payload{}, errCut
	}
	return p, nil
}

// checksum covers the fields beside Data too, so that data which came under
// another name is noticed.
func (s *Snapshot) checksum(body []byte) uint32 {
	b := make([]byte, 0, 128)
	for _, text := range []string{s.Stream, s.Schema, s.ContentType} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendUvarint(b, uint64(s.Version))
	b = binary.AppendUvarint(b, uint64(s.Position))
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, body)
}

// cut takes what has its length before it off b.
func cut(b []byte) (head, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	return b[k : k+int(n)], b[k+int(n):], true
}

func (s *Snapshot) appendChecksum(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, s.checksum(body))
}
