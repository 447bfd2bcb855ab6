package eventstore

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTag is the longest tag in bytes.
const MaxTag = 256

// tagSeparator stands between the tags of an event in its metadata.
const tagSeparator = ","

// tagsMark is how a pair with [KeyTags] begins in the encoded form of metadata.
const tagsMark = "\x04" + KeyTags

// A Tagged event says what it is about, with tags such as course:c1, see [Tag]
// and [CheckTag]. Package codec writes them into the metadata of the event,
// where they are not encrypted: name people by ids.
type Tagged interface {
	Tags() []string
}

// Tag returns kind:id, the usual form of a tag, such as course:c1.
func Tag(kind, id string) string { return kind + ":" + id }

// CheckTag returns an [*InvalidError] when tag cannot be one: it must be 1 to
// [MaxTag] bytes of UTF-8, without commas and control characters, and neither
// begin nor end with a space.
func CheckTag(tag string) error {
	switch {
	case tag == "":
		return &InvalidError{"tag", tag, "a tag such as course:c1 is needed"}
	case len(tag) > MaxTag:
		return &InvalidError{"tag", tag[:64] + "…", "at most 256 bytes; use a hash of what is longer"}
	case !utf8.ValidString(tag):
		return &InvalidError{"tag", tag, "must be valid UTF-8"}
	case strings.Contains(tag, tagSeparator):
		return &InvalidError{"tag", tag, "must not contain a comma, which separates tags"}
	case strings.ContainsFunc(tag, unicode.IsControl):
		return &InvalidError{"tag", tag, "must not contain control characters"}
	case strings.TrimSpace(tag) != tag:
		return &InvalidError{"tag", tag, "must neither begin nor end with a space"}
	}
	return nil
}

// WithTags returns m with tags added to those that it has, under [KeyTags]:
// sorted, each once, with commas between them, so that they read well wherever
// metadata is shown. It returns an [*InvalidError] for what cannot be a tag,
// see [CheckTag].
func (m Metadata) WithTags(tags ...string) (Metadata, error) {
	if len(tags) == 0 {
		return m, nil
	}
	for _, tag := range tags {
		if err := CheckTag(tag); err != nil {
			return m, err
		}
	}
	all := slices.AppendSeq(slices.Clone(tags), m.Tags())
	slices.Sort(all)
	return m.With(KeyTags, strings.Join(slices.Compact(all), tagSeparator)), nil
}

// Tags yields the tags in the order in which they stand in the metadata. It
// allocates nothing.
func (m Metadata) Tags() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := m.tags(); rest != ""; {
			var tag string
			if tag, rest, _ = strings.Cut(rest, tagSeparator); tag != "" && !yield(tag) {
				return
			}
		}
	}
}

// HasTag reports whether tag is one of the tags.
func (m Metadata) HasTag(tag string) bool {
	for t := range m.Tags() {
		if t == tag {
			return true
		}
	}
	return false
}

// MayHaveTags reports false when there are certainly no tags. Most events have
// none, and that must be fast to see.
func (m Metadata) MayHaveTags() bool {
	for rest := m.enc; ; {
		i := strings.IndexByte(rest, tagsMark[0]) // much faster than to look for all of it
		if i < 0 {
			return false
		}
		if rest = rest[i:]; strings.HasPrefix(rest, tagsMark) {
			return true
		}
		rest = rest[1:]
	}
}

// tags returns the value of [KeyTags].
func (m Metadata) tags() string {
	if !m.MayHaveTags() {
		return ""
	}
	return m.Get(KeyTags)
}
