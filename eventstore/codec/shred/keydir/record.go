package keydir

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// A record is what is stored of one key. It is never longer than a sector of a
// disk, and never lies across two, so that it is overwritten as a whole.
//
//	 0  magic "FSK1"
//	 4  state: 'k' key, 'e' erased
//	 5  wrap: 0 the secret as it is, 1 encrypted with a master key
//	 6  two zeros
//	 8  id of the key, zeros if there never was one
//	16  when it was made, in ns since 1970, big-endian like all numbers
//	24  when it was erased, or 0
//	32  name of the master key
//	40  nonce, secret and tag, 60 bytes; zeros when erased
//	100 zeros
//	124 CRC32C of all before
type record struct {
	state   byte
	wrapped bool
	id      shred.KeyID
	made    int64
	erased  int64
	master  masterName
	secret  [sealedSize]byte
}

const (
	recordSize = 128
	magic      = "FSK1"
	sealedSize = 12 + 32 + 16

	stateKey    = 'k'
	stateErased = 'e'
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("the record of a key is damaged")
)

func (r *record) append(b []byte) []byte {
	start := len(b)
	wrap := byte(0)
	if r.wrapped {
		wrap = 1
	}
	b = append(b, magic...)
	b = append(b, r.state, wrap, 0, 0)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.made))
	b = binary.BigEndian.AppendUint64(b, uint64(r.erased))
	b = append(b, r.master[:]...)
	b = append(b, r.secret[:]...)
	b = append(b, make([]byte, recordSize-4-len(b)+start)...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parse returns the records of a file, of which there is at least one.
func parse(data []byte) ([]record, error) {
	if len(data) == 0 || len(data)%recordSize != 0 {
		return nil, errDamaged
	}
	all := make([]record, 0, len(data)/recordSize)
	for ; len(data) > 0; data = data[recordSize:] {
		b := data[:recordSize]
		if string(b[:4]) != magic || binary.BigEndian.Uint32(b[124:]) != crc32.Checksum(b[:124], castagnoli) ||
			b[4] != stateKey && b[4] != stateErased || b[5] > 1 {
			return nil, errDamaged
		}
		all = append(all, record{
			state: b[4], wrapped: b[5] == 1, id: shred.KeyID(b[8:16]),
			made: int64(binary.BigEndian.Uint64(b[16:])), erased: int64(binary.BigEndian.Uint64(b[24:])),
			master: masterName(b[32:40]), secret: [sealedSize]byte(b[40:100]),
		})
	}
	return all, nil
}

// erase makes r the record of an erased key.
func (r *record) erase(now time.Time) {
	*r = record{state: stateErased, id: r.id, made: r.made, erased: now.UnixNano()}
}

// A masterName says which master key a secret is encrypted with.
type masterName [8]byte

// A master is a master key.
type master struct {
	name masterName
	aead cipher.AEAD
}

// MasterSize is the length of a master key in bytes.
const MasterSize = 32

func newMaster(key []byte) (*master, error) {
	if len(key) != MasterSize {
		return nil, fmt.Errorf("keydir: a master key has %d bytes, not %d; see keydir.ParseMaster", MasterSize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("foldstream name of master key\x00"), key...))
	return &master{name: masterName(sum[:8]), aead: aead}, nil
}

// wrap sets r's secret. The name of the subject's file binds it to the subject.
func (r *record) wrap(m *master, file string, secret [32]byte) {
	r.secret = [sealedSize]byte{}
	if r.wrapped = m != nil; !r.wrapped {
		r.master = masterName{}
		copy(r.secret[:], secret[:])
		return
	}
	r.master = m.name
	copy(r.secret[:], m.aead.Seal(nil, nil, secret[:], r.bound(file)))
}

// unwrap returns r's secret.
func (r *record) unwrap(masters []*master, file string) (secret [32]byte, err error) {
	if !r.wrapped {
		return [32]byte(r.secret[:32]), nil
	}
	for _, m := range masters {
		if m.name != r.master {
			continue
		}
		plain, err := m.aead.Open(nil, nil, r.secret[:], r.bound(file))
		if err != nil || len(plain) != len(secret) {
			return secret, errDamaged
		}
		return [32]byte(plain), nil
	}
	return secret, fmt.Errorf("%w: it is encrypted with master key %x; give that one as Options.Master, or in Options.Old", ErrMaster, r.master)
}

func (r *record) bound(file string) []byte {
	return append(append([]byte("foldstream key\x01"), r.id[:]...), file...)
}
