package esdbstore

import (
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// pushed returns a filter for the server that lets everything through that f
// wants, and perhaps more, or nil. The server knows one condition, on the type
// or on the stream, so the one expected to leave out most is chosen; the rest
// of f is applied here.
func pushed(f eventstore.Filter) *esdb.SubscriptionFilter {
	types := func(re string, prefixes []string) *esdb.SubscriptionFilter {
		return &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: re, Prefixes: prefixes}
	}
	streams := func(re string, prefixes []string) *esdb.SubscriptionFilter {
		return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: re, Prefixes: prefixes}
	}
	switch {
	case len(f.Types) > 0:
		return types("^("+oneOf(f.Types)+")$", nil)
	case len(f.Categories) > 0:
		return streams("^("+oneOf(f.Categories)+")(-|$)", nil)
	case usable(f.StreamPrefixes):
		return streams("", f.StreamPrefixes)
	case usable(f.TypePrefixes):
		return types("", f.TypePrefixes)
	case f.TypeRegexp != nil && portable(f.TypeRegexp.String()):
		return types(f.TypeRegexp.String(), nil)
	case f.StreamRegexp != nil && portable(f.StreamRegexp.String()):
		return streams(f.StreamRegexp.String(), nil)
	case f.ExcludeSystem:
		return types(`^[^\$].*`, nil) // as the client's own filter of that name
	}
	return nil
}

// usable reports whether prefixes leave anything out.
func usable(prefixes []string) bool {
	return len(prefixes) > 0 && !slices.Contains(prefixes, "")
}

// oneOf returns an expression for any of the names.
func oneOf(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = regexp.QuoteMeta(n)
	}
	return strings.Join(quoted, "|")
}

// portable reports whether an expression surely matches in .NET, which real
// servers use, whatever it matches in Go. There a character is a UTF-16 unit, so
// that a dot or a negated set may need two of them; \d and the like mean more
// characters, and so \D and \b fewer.
func portable(re string) bool {
	if re == "" || strings.Contains(re, "[[") || strings.Contains(re, "-[") || strings.Contains(re, "(?") {
		return false
	}
	for i := 0; i < len(re); i++ {
		switch c := re[i]; {
		case c >= 0x80:
			return false // a set or a repetition of it would be of units
		case c == '\\':
			if i++; i == len(re) || !strings.ContainsRune(`dws.-$^*+?()[]{}|\/`, rune(re[i])) {
				return false
			}
		case c == '.':
			if !repeated(re[i+1:]) {
				return false
			}
		case c == '[' && strings.HasPrefix(re[i:], "[^"):
			end := strings.IndexByte(re[i:], ']')
			if end <= 2 || strings.Contains(re[i:i+end], `\`) || !repeated(re[i+end+1:]) {
				return false
			}
			i += end
		}
	}
	return true
}

// repeated reports whether an expression goes on with a star or a plus.
func repeated(rest string) bool {
	return strings.HasPrefix(rest, "*") || strings.HasPrefix(rest, "+")
}
