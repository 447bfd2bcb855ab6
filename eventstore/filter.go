package eventstore

import (
	"regexp"
	"strings"
)

// A Filter chooses events by stream and type. Every condition that is set must
// hold; within a list one match is enough. The zero Filter matches everything,
// system events included.
type Filter struct {
	Categories     []string       // of the stream, see [SplitStream]
	StreamPrefixes []string       // of the stream's name
	StreamRegexp   *regexp.Regexp // on the stream's name
	Types          []string       // exact type names
	TypePrefixes   []string
	TypeRegexp     *regexp.Regexp
	ExcludeSystem  bool // leave out types and streams that start with a dollar sign
}

// IsZero reports whether f matches everything.
func (f Filter) IsZero() bool {
	return len(f.Categories) == 0 && len(f.StreamPrefixes) == 0 && f.StreamRegexp == nil &&
		len(f.Types) == 0 && len(f.TypePrefixes) == 0 && f.TypeRegexp == nil && !f.ExcludeSystem
}

// Matcher returns a function that reports whether an event of the given stream
// and type is wanted. It may be called by several goroutines at once. It is
// nil when f matches everything.
func (f Filter) Matcher() func(stream, eventType string) bool {
	if f.IsZero() {
		return nil
	}
	types := set(f.Types)
	categories := set(f.Categories)
	return func(stream, eventType string) bool {
		if f.ExcludeSystem && (strings.HasPrefix(eventType, "$") || IsSystemStream(stream)) {
			return false
		}
		if types != nil && !types[eventType] {
			return false
		}
		if categories != nil {
			if c, _ := SplitStream(stream); !categories[c] {
				return false
			}
		}
		return hasPrefix(stream, f.StreamPrefixes) && hasPrefix(eventType, f.TypePrefixes) &&
			(f.StreamRegexp == nil || f.StreamRegexp.MatchString(stream)) &&
			(f.TypeRegexp == nil || f.TypeRegexp.MatchString(eventType))
	}
}

func set(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return len(prefixes) == 0
}
