package eventstoretest

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// testFilters reads and subscribes with every kind of condition. The types are
// made of the fixture's category, so that other data cannot match.
func testFilters(t *testing.T, f *fixture) {
	typed := func(n int, name string) eventstore.Event {
		e := event(n)
		e.Type = f.category + "." + name
		return e
	}
	other := f.category + "b"
	f.append(f.category+"-1", eventstore.Any, typed(1, "placed"), typed(2, "paid"))
	f.append(other+"-1", eventstore.Any, typed(3, "placed"))
	f.append(f.category, eventstore.Any, typed(4, "shipped"))
	f.setMetadata(f.category+"-1", eventstore.StreamMetadata{MaxCount: 7})

	c := regexp.QuoteMeta(f.category)
	placed, paid := f.category+".placed", f.category+".paid"
	tests := []struct {
		name   string
		filter eventstore.Filter
		want   []string
	}{
		{"Category", eventstore.Filter{Categories: []string{f.category}}, []string{"1", "2", "4"}},
		{"Categories", eventstore.Filter{Categories: []string{f.category, other}}, []string{"1", "2", "3", "4"}},
		{"StreamPrefix", eventstore.Filter{StreamPrefixes: []string{other, f.category + "-"}}, []string{"1", "2", "3"}},
		{"StreamRegexp", eventstore.Filter{StreamRegexp: regexp.MustCompile("^" + c + "b?-1$")}, []string{"1", "2", "3"}},
		{"Types", eventstore.Filter{Types: []string{placed, paid}}, []string{"1", "2", "3"}},
		{"TypePrefix", eventstore.Filter{TypePrefixes: []string{f.category + ".p"}}, []string{"1", "2", "3"}},
		{"TypeRegexp", eventstore.Filter{TypeRegexp: regexp.MustCompile(c + `.*(paid|shipped)$`)}, []string{"2", "4"}},
		{"Combined", eventstore.Filter{Categories: []string{f.category}, Types: []string{placed}, ExcludeSystem: true}, []string{"1"}},
		{"System", eventstore.Filter{StreamPrefixes: []string{"$$" + f.category}}, []string{"meta"}},
		{"NoSystem", eventstore.Filter{StreamRegexp: regexp.MustCompile(c + "-1$"), ExcludeSystem: true}, []string{"1", "2"}},
		{"Nothing", eventstore.Filter{Categories: []string{"no" + f.category}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := collect(t, f.store.ReadAll(f.ctx, eventstore.ReadAllOptions{Filter: tt.filter}))
			require.NoError(t, err)
			assert.Equal(t, tt.want, short(all))
			sub := newSubscriber(t, f.store.SubscribeAll(f.ctx, eventstore.SubscribeAllOptions{Filter: tt.filter}))
			got, _ := sub.untilCaughtUp()
			assert.Equal(t, tt.want, short(got))
		})
	}
}

func short(rs []eventstore.Recorded) []string {
	number := regexp.MustCompile(`^{"n":(\d+)}$`)
	var ns []string
	for _, r := range rs {
		if m := number.FindStringSubmatch(string(r.Data)); m != nil {
			ns = append(ns, m[1])
		} else {
			ns = append(ns, "meta")
		}
	}
	return ns
}
