package aggregate

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

func sealed() Snapshot {
	s := Snapshot{Stream: "order-1", Version: 300, Position: 70000, Schema: "1-a", ContentType: "c"}
	s.seal(payload{first: 2, lastID: eventstore.NewID(), recent: []byte("recent"), state: []byte("state")})
	return s
}

func TestDamageToASnapshotIsNoticed(t *testing.T) {
	t.Parallel()
	good := sealed()
	p, err := good.unseal()
	require.NoError(t, err)
	assert.Equal(t, eventstore.Version(2), p.first)
	assert.Equal(t, "recent", string(p.recent))
	assert.Equal(t, "state", string(p.state))

	for i := range good.Data {
		bad := good
		bad.Data = append([]byte{}, good.Data...)
		bad.Data[i] ^= 0x40
		_, err = bad.unseal()
		require.Error(t, err, "byte %d", i)
		bad.Data = good.Data[:i]
		_, err = bad.unseal()
		require.Error(t, err, "%d bytes", i)
	}
	for name, change := range map[string]func(*Snapshot){
		"stream": func(s *Snapshot) { s.Stream = "order-2" }, "version": func(s *Snapshot) { s.Version++ },
		"position": func(s *Snapshot) { s.Position++ }, "schema": func(s *Snapshot) { s.Schema = "1-b" },
		"content type": func(s *Snapshot) { s.ContentType = "d" },
	} {
		bad := good
		change(&bad)
		_, err = bad.unseal()
		require.ErrorIs(t, err, errDamaged, name)
	}
	newer := good
	newer.Data = append([]byte{2}, good.Data[1:]...)
	_, err = newer.unseal()
	require.ErrorContains(t, err, "format 2")
}

func FuzzUnseal(f *testing.F) {
	f.Add(sealed().Data, true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		s := Snapshot{Stream: "order-1", Data: data}
		if mend && len(data) > 4 { // get past the checksum
			s.Data = s.appendChecksum(append([]byte{}, data[:len(data)-4]...))
		}
		p, err := s.unseal()
		if err != nil {
			return
		}
		again := Snapshot{Stream: "order-1"}
		again.seal(p)
		q, err := again.unseal()
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}

func schema1[T any]() string { return schemaOf(reflect.TypeFor[T](), "c", 1) }

type tree struct {
	Name     string
	Children []*tree
	ByName   map[string]tree
}

func TestASchemaChangesWithTheType(t *testing.T) {
	t.Parallel()
	type number int
	all := map[string]string{}
	for name, s := range map[string]string{
		"plain": schema1[struct{ A, B int }](), "order": schema1[struct{ B, A int }](), "renamed": schema1[struct{ A, C int }](),
		"more": schema1[struct{ A, B, C int }](), "other type": schema1[struct{ A, B int64 }](), "tag": schema1[struct {
			A int `msgpack:"a"`
			B int
		}](),
		"inside": schema1[struct{ X struct{ A, B int } }](), "list": schema1[struct{ X []struct{ A, B int } }](),
		"pointer": schema1[struct{ X *struct{ A, B int } }](), "map": schema1[struct{ X map[int]struct{ A, B int } }](),
		"key": schema1[struct{ X map[int8]struct{ A, B int } }](), "array": schema1[[2]int](), "longer": schema1[[3]int](),
		"time": schema1[time.Time](), "tree": schema1[tree](), "embedded": schema1[struct{ tree }](), "field": schema1[struct{ tree tree }](),
		"encoding": schemaOf(reflect.TypeFor[struct{ A, B int }](), "d", 1), "version": schemaOf(reflect.TypeFor[struct{ A, B int }](), "c", 2),
	} {
		assert.Empty(t, all[s], "%s and %s are one", name, all[s])
		all[s] = name
	}
	assert.Equal(t, schema1[struct{ A, B int }](), schema1[struct{ A, B number }](), "the name of a type is not what it looks like")
}

func TestRecentCommandsComeBack(t *testing.T) {
	t.Parallel()
	r := recent{limit: 3}
	for v := range eventstore.Version(8) {
		r.add(string(rune('a'+v)), v+1)
	}
	data := r.encode(8)
	got := recent{limit: 3}
	require.NoError(t, got.restore(data))
	assert.Equal(t, r, got)
	assert.Empty(t, r.encode(7), "commands beyond the state are none of its own")
	for i := range data {
		require.Error(t, got.restore(data[:max(i, 1)]), "%d bytes", i)
	}
	require.Error(t, got.restore(append(data, 0)))
	require.NoError(t, got.restore(nil))
	assert.Equal(t, recent{limit: 3}, got)
}

func FuzzRecent(f *testing.F) {
	r := recent{limit: 3}
	for v := range eventstore.Version(8) {
		r.add(string(rune('a'+v)), v+1)
	}
	f.Add(r.encode(8))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, again recent
		if got.restore(data) != nil || len(data) == 0 {
			return
		}
		require.NoError(t, again.restore(got.encode(got.upTo)))
		require.Equal(t, got, again)
	})
}
