package eventstore

import (
	"math"
	"strconv"
)

// Expected says what an append, a delete or a metadata change assumes about
// its stream. The zero value is [NoStream].
type Expected int64

const (
	// NoStream expects that the stream has no events, or is soft-deleted.
	NoStream Expected = 0
	// Any expects nothing. A repeated append is then recognized by its event
	// ids only for as long as the store remembers them.
	Any Expected = -2
	// StreamExists expects at least one event, or metadata.
	StreamExists Expected = -4
)

// Exact expects the stream to be at version v. Exact(0) is [NoStream].
func Exact(v Version) Expected { return Expected(min(v, math.MaxInt64)) }

// Version returns the expected version, and whether e names one.
func (e Expected) Version() (Version, bool) {
	if e < 0 {
		return 0, false
	}
	return Version(e), true
}

// String returns any, stream exists, no stream or version n.
func (e Expected) String() string {
	switch {
	case e == NoStream:
		return "no stream"
	case e == Any:
		return "any version"
	case e == StreamExists:
		return "an existing stream"
	case e < 0:
		return "invalid expectation " + strconv.FormatInt(int64(e), 10)
	}
	return "version " + strconv.FormatInt(int64(e), 10)
}
