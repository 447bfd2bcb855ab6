package projectiontest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/foldstream/foldstream/projection"
)

// An outcome is everything that was built.
type outcome struct {
	s      *Scenario
	items  map[string]projection.Item // by what they are
	parked []projection.ParkedStream  // by stream and partition
}

// checked builds the view the plain way, with handlers that are checked.
func (s *Scenario) checked(ctx context.Context) (o *outcome, impure []error, err error) {
	var mu sync.Mutex
	p := s.p.Checked(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		impure = append(impure, err)
	})
	o, err = s.build(ctx, p, plain)
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(impure, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return o, impure, err
}

// outcome reads what is in the store.
func (s *Scenario) outcome(ctx context.Context) (*outcome, error) {
	v, err := s.store.Active(ctx, s.p.Name())
	if err != nil {
		return nil, err
	}
	o := &outcome{s: s, items: make(map[string]projection.Item)}
	for it, err := range s.store.Dump(ctx, s.p.Name(), v.Number) {
		if err != nil {
			return nil, err
		}
		if it.Kind != projection.ItemParked {
			o.items[name(&it)] = it
			continue
		}
		var ps projection.ParkedStream
		if err := json.Unmarshal(it.Value, &ps); err != nil {
			return nil, fmt.Errorf("parked stream %q: %w", it.Key, err)
		}
		o.parked = append(o.parked, ps)
	}
	slices.SortFunc(o.parked, func(a, b projection.ParkedStream) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Partition, b.Partition))
	})
	return o, nil
}

// name says what an item is, for people.
func name(it *projection.Item) string {
	switch it.Kind {
	case projection.ItemIndex, projection.ItemSet:
		return fmt.Sprintf("member %q of %q in %s", it.Member, it.Key, it.Collection)
	case projection.ItemCounter:
		return fmt.Sprintf("counter %q of %s", it.Key, it.Collection)
	}
	return fmt.Sprintf("document %q of %s", it.Key, it.Collection)
}

// maxShown is how many differences are told.
const maxShown = 5

// compare returns what differs in another outcome, a line each, or nothing.
func (o *outcome) compare(other *outcome) string {
	var lines []string
	if a, b := parkedText(o.parked), parkedText(other.parked); a != b {
		lines = append(lines, fmt.Sprintf("  parked events: %s instead of %s", b, a))
	}
	all := maps.Clone(o.items)
	maps.Copy(all, other.items)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, here := o.items[name]
		b, there := other.items[name]
		if text := o.s.differ(a, here, b, there); text != "" {
			lines = append(lines, "  "+name+": "+text)
		}
	}
	if n := len(lines) - maxShown; n > 0 {
		lines = append(lines[:maxShown], fmt.Sprintf("  and %d more", n))
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// differ says how an item was and how it should have been.
func (s *Scenario) differ(a projection.Item, here bool, b projection.Item, there bool) string {
	switch {
	case !there:
		return "missing instead of " + s.text(&a)
	case !here:
		return s.text(&b) + " instead of none"
	case a.Kind != projection.ItemDocument:
		if a.Score == b.Score && a.Count == b.Count {
			return ""
		}
		return s.text(&b) + " instead of " + s.text(&a)
	case string(a.Value) == string(b.Value):
		return ""
	}
	x, errX := s.p.DocumentValue(a.Collection, a.Value)
	y, errY := s.p.DocumentValue(b.Collection, b.Value)
	if errX != nil || errY != nil {
		return fmt.Sprintf("%q instead of %q", b.Value, a.Value)
	}
	return difference(y, x)
}

func (s *Scenario) text(it *projection.Item) string {
	switch it.Kind {
	case projection.ItemCounter:
		return fmt.Sprint(it.Count)
	case projection.ItemIndex:
		return fmt.Sprintf("one with score %v", it.Score)
	case projection.ItemSet:
		return "one"
	}
	doc, err := s.p.DocumentValue(it.Collection, it.Value)
	if err != nil {
		return fmt.Sprintf("%q", it.Value)
	}
	return describe(doc)
}

func parkedText(streams []projection.ParkedStream) string {
	if len(streams) == 0 {
		return "none"
	}
	texts := make([]string, len(streams))
	for i, ps := range streams {
		var versions []string
		for _, e := range ps.Events {
			versions = append(versions, fmt.Sprint(e.Version))
		}
		texts[i] = fmt.Sprintf("versions %s of stream %q (%s)", strings.Join(versions, ", "), ps.Stream, ps.Error)
	}
	return strings.Join(texts, "; ")
}
