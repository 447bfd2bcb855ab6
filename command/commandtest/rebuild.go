package commandtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/foldstream/foldstream/internal/narrate"
	"github.com/foldstream/foldstream/projection"
)

// Rebuild builds every view again from the first event, beside the one that has
// followed the events step by step, and ends the test if they are not the same:
// then a handler depends on more than its event, such as on the clock (have time
// go on before, with [Kit.Advance]) or on what is elsewhere at the time. Package
// projectiontest looks into one projection much more closely.
func (k *Kit) Rebuild() {
	k.t.Helper()
	k.start()
	k.looked()
	if k.app.Runner == nil {
		return
	}
	for _, view := range k.app.Runner.Views() {
		result, err := k.app.Runner.Rebuild(k.ctx, view, nil)
		if errors.Is(err, projection.ErrReactor) {
			continue
		}
		if err != nil {
			k.t.Fatalf("commandtest: rebuild of view %q: %v", view, err)
		}
		wrong := otherwise(k.items(view, result.OldVersion), k.items(view, result.NewVersion))
		if len(wrong) > 0 {
			k.t.Fatal(narrate.Story(fmt.Sprintf("view %q is another when it is built again", view), append(k.past(len(k.steps)),
				narrate.Section{Title: "because", Lines: wrong})...))
		}
	}
}

// items returns what is in a version of a view, by what it is.
func (k *Kit) items(view string, version int) map[string]projection.Item {
	k.t.Helper()
	all := make(map[string]projection.Item)
	for it, err := range k.env.Views.Dump(k.ctx, view, version) {
		if err != nil {
			k.t.Fatalf("commandtest: compare view %q: %v", view, err)
		}
		name := fmt.Sprintf("%s %q of %s", it.Kind, it.Key, it.Collection)
		if it.Member != "" {
			name = fmt.Sprintf("%s, member %q", name, it.Member)
		}
		all[name] = it
	}
	return all
}

func otherwise(followed, rebuilt map[string]projection.Item) []string {
	names := maps.Clone(followed)
	maps.Copy(names, rebuilt)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, was := followed[name]
		b, is := rebuilt[name]
		switch {
		case !is:
			lines = append(lines, name+" is missing then")
		case !was:
			lines = append(lines, name+" is there then")
		case a.Score != b.Score || a.Count != b.Count || string(a.Value) != string(b.Value):
			lines = append(lines, name+" is another then")
		}
	}
	return lines
}
