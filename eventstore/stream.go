package eventstore

import (
	"strings"
	"unicode/utf8"
)

// MaxStreamName is the longest stream name in bytes.
const MaxStreamName = 4096

// SplitStream cuts a stream name at its first dash into category and id. A
// name without a dash is a category without an id.
func SplitStream(stream string) (category, id string) {
	category, id, _ = strings.Cut(stream, "-")
	return category, id
}

// StreamName joins a category and an id with a dash.
func StreamName(category, id string) string { return category + "-" + id }

// MetadataStream returns the name of the stream that holds the metadata of
// stream: $$stream.
func MetadataStream(stream string) string { return "$$" + stream }

// IsSystemStream reports whether a stream belongs to the store rather than to
// its users: its name starts with a dollar sign.
func IsSystemStream(stream string) bool { return strings.HasPrefix(stream, "$") }

// CheckStream returns an [*InvalidError] when stream cannot be the name of a
// stream.
func CheckStream(stream string) error {
	switch {
	case stream == "" || stream == "$$":
		return &InvalidError{"stream name", stream, "a name such as order-42 is needed"}
	case stream == "$all" || stream == "$$$all":
		return &InvalidError{"stream name", stream, "$all stands for all streams; it cannot be written or read as one"}
	case len(strings.TrimPrefix(stream, "$$")) > MaxStreamName:
		return &InvalidError{"stream name", stream[:64] + "…", "at most 4096 bytes"}
	case !utf8.ValidString(stream):
		return &InvalidError{"stream name", stream, "must be valid UTF-8"}
	}
	return nil
}

// CheckEvents returns an [*InvalidError] for an event that no store accepts,
// or a [*TooLargeError] when the events together exceed limit bytes.
func CheckEvents(stream string, limit int, events []Event) error {
	size := 0
	for i := range events {
		e := &events[i]
		switch {
		case e.Type == "":
			return &InvalidError{"event type", e.Type, "every event needs a type name such as order.placed"}
		case len(e.Type) > 1024:
			return &InvalidError{"event type", e.Type[:64] + "…", "at most 1024 bytes"}
		case !utf8.ValidString(e.Type):
			return &InvalidError{"event type", e.Type, "must be valid UTF-8"}
		case e.Type == TypeTombstone:
			return &InvalidError{"event type", e.Type, "only Tombstone writes it, to end a stream"}
		case len(e.ContentType) > 255:
			return &InvalidError{"content type", e.ContentType[:64] + "…", "at most 255 bytes"}
		}
		size += e.Size()
	}
	if size > limit {
		return &TooLargeError{Stream: stream, Size: size, Limit: limit}
	}
	return nil
}
