// Package streamrules holds the rules of streams that every store of our own
// keeps: what an append may assume, when it repeats an earlier one, what
// metadata hides, and how a subscription goes from history to live. They are
// those of EventStoreDB, counted in versions instead of revisions.
package streamrules

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A State is what the rules know of one stream. The zero State is that of a
// stream nobody has written to.
type State struct {
	Last       eventstore.Version
	Tombstoned bool
	Meta       *eventstore.StreamMetadata // nil when there is none; never modified
}

// A Window is the readable part of a stream.
type Window struct {
	First, Last eventstore.Version
	NotBefore   time.Time // events created earlier have expired; zero means none has
}

// Original returns the stream whose metadata a metastream holds, and whether
// stream is a metastream.
func Original(stream string) (string, bool) {
	orig, isMeta := strings.CutPrefix(stream, "$$")
	if !isMeta || strings.HasPrefix(orig, "$$") { // metadata has no metadata of its own
		return stream, false
	}
	return orig, true
}

// SoftDeleted reports whether the stream was deleted and not written to since.
func (s State) SoftDeleted() bool { return s.Meta != nil && s.Meta.Deleted() }

// Readable returns what Read may show of a stream in state s at the time now.
func (s State) Readable(stream string, now func() time.Time) (Window, error) {
	switch {
	case s.Tombstoned:
		return Window{}, &eventstore.StreamDeletedError{Stream: stream}
	case s.Last == 0 || s.SoftDeleted():
		return Window{}, &eventstore.StreamNotFoundError{Stream: stream}
	}
	return s.History(stream, now), nil
}

// History is like Readable for subscriptions, to which a deleted stream is one
// whose events are hidden.
func (s State) History(stream string, now func() time.Time) Window {
	w := Window{First: 1, Last: s.Last}
	if _, isMeta := Original(stream); isMeta {
		w.First = max(s.Last, 1) // only the last metadata counts
		return w
	}
	if s.Meta == nil {
		return w
	}
	w.First = max(w.First, min(s.Meta.TruncateBefore, s.Last+1))
	if n := s.Meta.MaxCount; n > 0 && n < uint64(s.Last) {
		w.First = max(w.First, s.Last-eventstore.Version(n)+1)
	}
	if s.Meta.MaxAge > 0 {
		w.NotBefore = now().Add(-s.Meta.MaxAge)
	}
	return w
}

// Slice returns the versions that opts choose from w, the first to read first.
// It returns 0, 0 for none.
func (w Window) Slice(opts eventstore.ReadOptions) (from, to eventstore.Version) {
	if opts.Backwards {
		if from = w.Last; opts.From > 0 {
			from = min(from, opts.From)
		}
		if from < w.First {
			return 0, 0
		}
		return from, w.First
	}
	if from = max(w.First, opts.From); from > w.Last {
		return 0, 0
	}
	return from, w.Last
}

// Metadata returns what an event in a metastream says. As in EventStoreDB an
// event that is not JSON, or not understood, stands for empty metadata.
func Metadata(contentType string, data []byte) *eventstore.StreamMetadata {
	m := new(eventstore.StreamMetadata)
	if contentType != eventstore.ContentTypeJSON || m.UnmarshalJSON(data) != nil {
		return new(eventstore.StreamMetadata)
	}
	return m
}

// Clone returns a copy of m that a caller may change.
func Clone(m *eventstore.StreamMetadata) eventstore.StreamMetadata {
	c := *m
	c.Custom = maps.Clone(m.Custom)
	for k, v := range c.Custom {
		c.Custom[k] = slices.Clone(v)
	}
	if a := m.ACL; a != nil {
		c.ACL = &eventstore.ACL{
			Read: slices.Clone(a.Read), Write: slices.Clone(a.Write), Delete: slices.Clone(a.Delete),
			MetaRead: slices.Clone(a.MetaRead), MetaWrite: slices.Clone(a.MetaWrite),
		}
	}
	return c
}

// CheckMetadataStream returns an [*eventstore.InvalidError] when stream cannot
// have metadata.
func CheckMetadataStream(stream string) error {
	if err := eventstore.CheckStream(stream); err != nil {
		return err
	}
	if strings.HasPrefix(stream, "$$") {
		return &eventstore.InvalidError{What: "stream name", Value: stream, Remedy: "metadata has no metadata of its own and cannot be deleted"}
	}
	return nil
}
