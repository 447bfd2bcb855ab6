package projectiontest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// describe returns a document as JSON, or as Go has it.
func describe(doc any) string {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Sprintf("%+v", doc)
	}
	return string(data)
}

// difference says in which fields a document is not as it should be.
func difference(got, want any) string {
	var lines []string
	fields(&lines, "", plainValue(got), plainValue(want))
	if len(lines) == 0 {
		if reflect.DeepEqual(got, want) {
			return ""
		}
		return fmt.Sprintf("%+v instead of %+v", got, want)
	}
	return strings.Join(lines, ", ")
}

// plainValue turns a document into what JSON knows.
func plainValue(doc any) any {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Sprintf("%+v", doc)
	}
	var v any
	if json.Unmarshal(data, &v) != nil {
		return string(data)
	}
	return v
}

func fields(lines *[]string, path string, got, want any) {
	if reflect.DeepEqual(got, want) {
		return
	}
	g, isMap := got.(map[string]any)
	w, bothMaps := want.(map[string]any)
	if !isMap || !bothMaps {
		*lines = append(*lines, strings.TrimSpace(path+" is "+describe(got)+" instead of "+describe(want)))
		return
	}
	all := maps.Clone(g)
	maps.Copy(all, w)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		under := name
		if path != "" {
			under = path + "." + name
		}
		x, here := g[name]
		y, there := w[name]
		switch {
		case !here:
			*lines = append(*lines, under+" is missing instead of "+describe(y))
		case !there:
			*lines = append(*lines, under+" is "+describe(x)+" instead of missing")
		default:
			fields(lines, under, x, y)
		}
	}
}
