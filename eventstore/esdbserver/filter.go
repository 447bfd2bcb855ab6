package esdbserver

import (
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// defaultWindow is how many events a filtered subscription examines between
// two checkpoints, times the multiplier.
const defaultWindow = 32

// A filter chooses events of $all by the stream's name or by the type. A nil
// filter lets all pass.
type filter struct {
	onType   bool
	regex    *regexp.Regexp
	prefixes []string
	window   uint64
}

// compileFilter returns InvalidArgument for an expression that Go's regexp does
// not take: unlike .NET it knows no look-around and no back-references, and so
// needs time in proportion to the text.
func compileFilter(o *streams.ReadReq_Options_FilterOptions) (*filter, error) {
	if o == nil {
		return nil, nil //nolint:nilnil // no filter is a filter that lets all pass
	}
	f := &filter{window: defaultWindow}
	var e *streams.ReadReq_Options_FilterOptions_Expression
	switch by := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		e = by.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		f.onType, e = true, by.EventType
	default:
		return nil, required("filter", "stream identifier or event type")
	}
	if w, ok := o.GetWindow().(*streams.ReadReq_Options_FilterOptions_Max); ok {
		if w.Max == 0 {
			return nil, status.Error(codes.InvalidArgument, "the window of a filter must be 1 or more")
		}
		f.window = uint64(w.Max)
	}
	if f.prefixes = e.GetPrefix(); e.GetRegex() != "" {
		re, err := regexp.Compile(e.GetRegex())
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "the filter %q cannot be used: %v; look-around and back-references are not known here", e.GetRegex(), err)
		}
		f.regex = re
	}
	return f, nil
}

func (f *filter) match(e *eventstore.Recorded) bool {
	if f == nil {
		return true
	}
	text := e.Stream
	if f.onType {
		text = e.Type
	}
	if f.regex != nil {
		return f.regex.MatchString(text)
	}
	return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}
