package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/foldstream/foldstream/eventstore"
)

// End is the position, or the revision, after everything.
const End = math.MaxUint64

// UUID returns the structured form of an id: the two big-endian halves of the
// sixteen bytes of RFC 9562.
func UUID(id eventstore.ID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// ParseUUID reads an id in either form. It returns an error for one that is
// missing or not a UUID.
func ParseUUID(u *shared.UUID) (eventstore.ID, error) {
	switch v := u.GetValue().(type) {
	case *shared.UUID_Structured_:
		var id eventstore.ID
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return id, nil
	case *shared.UUID_String_:
		id, err := eventstore.ParseID(v.String_)
		if err != nil {
			return eventstore.ID{}, fmt.Errorf("read an id: %w", err)
		}
		return id, nil
	}
	return eventstore.ID{}, errors.New("read an id: it is missing")
}

// Stream returns a stream's name as clients write it.
func Stream(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

// Revision returns the number that EventStoreDB gives an event: its version
// less one, and for a tombstone the highest there is.
func Revision(r *eventstore.Recorded) uint64 {
	if r.Type == eventstore.TypeTombstone {
		return math.MaxInt64
	}
	return uint64(r.Version) - 1
}

// ContentType returns one of the two content types that EventStoreDB knows.
func ContentType(given string) string {
	if given == eventstore.ContentTypeJSON {
		return given
	}
	return eventstore.ContentTypeBinary
}
