package codec

import (
	"cmp"
	"reflect"
	"slices"
)

// TypeInfo describes a registered type.
type TypeInfo struct {
	Name          string // that is written
	OtherNames    []string
	GoType        reflect.Type
	SchemaVersion int
	ContentType   string
}

// Types returns the registered types by name. OtherNames are aliases and the
// names of events that may become values of the type when they are read.
func (c *Codec) Types() []TypeInfo {
	all := make([]TypeInfo, 0, len(c.types))
	for _, t := range c.types {
		all = append(all, TypeInfo{
			Name: t.names[0], OtherNames: slices.Clone(t.found[1:]), GoType: t.goType,
			SchemaVersion: t.version, ContentType: t.contentType,
		})
	}
	slices.SortFunc(all, func(a, b TypeInfo) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
