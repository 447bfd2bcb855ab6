package shred_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

// node is a type that contains itself.
type node struct {
	ID, Name string
	Secret   string `personal:"ID"`
	Kids     []*node
	Left     [2]*node
}

type Inner struct {
	ID   string
	Name string `personal:"ID"`
}

func TestShapesOfTypes(t *testing.T) {
	t.Parallel()
	ring := shred.NewRing(new(shred.Memory), nil)
	r := &rig{Codec: codec.New(ring.Seal(), codec.Type[node]("node"), codec.Type[struct {
		Inner

		Other string `personal:"ID"`
	}]("embedding")), ring: ring}
	tree := node{ID: "a", Name: "A", Secret: "sa", Kids: []*node{
		{ID: "b", Secret: "sb", Left: [2]*node{nil, {ID: "c", Secret: "sc"}}}, nil, {ID: "a", Secret: "sa2"},
	}}
	rec := r.encode(t, tree)
	require.Equal(t, tree, r.decode(t, rec))
	require.NoError(t, ring.Erase(t.Context(), "a"))
	require.NoError(t, ring.Erase(t.Context(), "c"))
	tree.Secret, tree.Kids[2].Secret, tree.Kids[0].Left[1].Secret = "", "", ""
	require.Equal(t, tree, r.decode(t, rec))

	event := struct {
		Inner

		Other string `personal:"ID"`
	}{Inner{"x", "n"}, "o"}
	rec = r.encode(t, event)
	assert.Equal(t, event, r.decode(t, rec))
	require.NoError(t, ring.Erase(t.Context(), "x"))
	event.Name, event.Other = "", ""
	assert.Equal(t, event, r.decode(t, rec))
}

// tree contains itself in a map.
type tree struct {
	ID     string
	Secret string `personal:"ID"`
	Plain  map[string]branch
}

type branch struct{ Down map[string]branch }

func TestTypesThatContainThemselvesInMaps(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack, codec.Type[tree]("tree"), codec.Type[branch]("branch"))
	event := tree{"a", "s", map[string]branch{"x": {map[string]branch{"y": {}}}}}
	assert.Equal(t, event, r.decode(t, r.encode(t, event)))
}

func TestWrongTagsDoNotStart(t *testing.T) {
	t.Parallel()
	ring := shred.NewRing(new(shred.Memory), nil)
	type typed = struct{ ID, Name string }
	for says, types := range map[string][]codec.Registration{
		`no exported field "ID"`: {codec.Type[struct {
			Name string `personal:"ID"`
		}]("a")},
		`no exported field "id"`: {codec.Type[struct {
			id   string
			Name string `personal:"id"`
		}]("a")},
		"no fields": {codec.Type[struct {
			ID   string
			Name string `personal:"ID.X"`
		}]("a")},
		"personal itself": {codec.Type[struct {
			ID   string
			Name string `personal:"ID"`
			Mail string `personal:"Name"`
		}]("a")},
		"must be a string": {codec.Type[struct {
			ID   []string
			Name string `personal:"ID"`
		}]("a")},
		"not exported, so": {codec.Type[struct {
			ID   string
			name string `personal:"ID"`
		}]("a")},
		"is no int": {codec.Type[struct {
			ID string
			N  int `personal:"ID" erased:"none"`
		}]("a")},
		"can have none": {codec.Type[struct {
			ID string
			N  []int `personal:"ID" erased:"1"`
		}]("a")},
		"no subject": {codec.Type[struct {
			ID   string
			Name string `erased:"gone"`
		}]("a")},
		"leave one of them out": {codec.Type[struct {
			ID string
			In Inner `personal:"ID"`
		}]("a")},
		"leave one tag out": {codec.Type[struct {
			_    struct{} `personal:"ID"`
			ID   string
			Name string `personal:"ID"`
		}]("a")},
		"values of a map":                     {codec.Type[struct{ In map[string]Inner }]("a")},
		"personal as a whole; tag the fields": {codec.Type[struct{ In noted }]("a")},
		"no exported field Mail":              {codec.Type[typed]("a", shred.Fields(shred.Field{Path: "Mail", Subject: "ID"}))},
		"has no struct Home":                  {codec.Type[typed]("a", shred.Fields(shred.Field{Path: "Home.City", Subject: "ID"}))},
		"is no struct":                        {codec.Type[map[string]string]("a", shred.Fields(shred.Field{Path: "Mail", Subject: "ID"}))},
		"use shred.Fields":                    {codec.Type[typed]("a", codec.Personal("Name"))},
		"sealed twice":                        {ring.Seal()},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			defer func() {
				err, _ := recover().(error)
				require.Error(t, err)
				assert.ErrorContains(t, err, says)
			}()
			codec.New(append(types, ring.Seal())...)
		})
	}
}

func TestPersonalTypesNeedARing(t *testing.T) {
	t.Parallel()
	for _, types := range []codec.Registration{
		codec.Type[registered]("a"), codec.Type[noted]("a"), codec.Type[node]("a"), codec.Type[invited]("a"),
		codec.Type[plain]("a", shred.Fields(shred.Field{Path: "Text", Subject: "Text"})),
	} {
		func() {
			defer func() { assert.ErrorContains(t, recover().(error), "in the clear") }()
			codec.New(types)
		}()
	}
	codec.New(codec.Type[plain]("a"))
}
