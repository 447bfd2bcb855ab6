package fields_test

import (
	"bytes"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate/internal/fields"
)

type status uint8

type inner struct {
	name  string
	price big.Int
}

type list struct {
	value int
	older *list
}

type embedded struct{ id [4]byte }

type state struct {
	embedded
	Status   status
	yes      bool
	small    int8
	n        int64
	u        uint16
	f        float64
	g        float32
	c        complex128
	text     string
	raw      []byte
	at       time.Time
	addr     netip.Addr
	lines    []inner
	byName   map[string]inner
	byPlace  map[[2]int]*inner
	set      map[string]struct{}
	list     *list
	array    [3]string
	nested   [][]int
	nothing  []struct{}
	children []state
	_        int
}

func full() state {
	return state{
		embedded: embedded{[4]byte{1, 2, 3, 4}}, Status: 200, yes: true, small: -128, n: math.MinInt64, u: math.MaxUint16,
		f: math.Inf(-1), g: 0.1, c: complex(1, -2), text: "☃\x00\xff", raw: []byte{0, 1}, at: time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC),
		addr: netip.MustParseAddr("fe80::1%eth0"), lines: []inner{{"tea", *big.NewInt(-450)}, {}},
		byName: map[string]inner{"b": {name: "B"}, "a": {}}, byPlace: map[[2]int]*inner{{1, -1}: nil, {2, 2}: {name: "x"}},
		set: map[string]struct{}{"x": {}, "": {}}, list: &list{1, &list{2, nil}}, array: [3]string{"a", "", "c"},
		nested: [][]int{nil, {}, {1}}, nothing: make([]struct{}, 5), children: []state{{text: "child"}},
	}
}

func compile[T any](tb testing.TB) *fields.Codec {
	tb.Helper()
	c, err := fields.Compile(reflect.TypeFor[T]())
	require.NoError(tb, err)
	return c
}

func TestEveryFieldComesBack(t *testing.T) {
	t.Parallel()
	c := compile[state](t)
	for name, want := range map[string]state{
		"full": full(), "zero": {}, "empty, not nil": {raw: []byte{}, lines: []inner{}, set: map[string]struct{}{}, list: &list{}, nothing: []struct{}{}},
	} {
		data, err := c.Append([]byte("before"), &want)
		require.NoError(t, err, name)
		got := full() // what was there before is gone
		require.NoError(t, c.Unmarshal(data[len("before"):], &got), name)
		assert.Equal(t, want, got, name)
	}
}

func TestEqualValuesGiveEqualBytes(t *testing.T) {
	t.Parallel()
	type set struct{ m map[int]string }
	c := compile[set](t)
	var first []byte
	for range 20 {
		m := map[int]string{}
		for i := range 50 {
			m[i*i] = "x"
		}
		data, err := c.Append(nil, &set{m})
		require.NoError(t, err)
		if first == nil {
			first = data
		}
		require.Equal(t, first, data)
	}
}

func TestWhatCannotComeBackIsNamed(t *testing.T) {
	t.Parallel()
	type deep struct {
		ByID map[string][]*struct{ Last error }
	}
	for _, tt := range []struct {
		t    reflect.Type
		says string
	}{
		{reflect.TypeFor[deep](), "fields_test.deep.ByID[][].Last is of kind interface"},
		{reflect.TypeFor[struct{ f func() }](), ".f is of kind func"},
		{reflect.TypeFor[struct{ C chan int }](), ".C is of kind chan"},
		{reflect.TypeFor[struct{ m map[any]int }](), ".m[key] is of kind interface"},
		{reflect.TypeFor[error](), "error is of kind interface"},
	} {
		_, err := fields.Compile(tt.t)
		require.ErrorContains(t, err, tt.says)
	}
}

func TestACycleIsAnErrorAndALongListIsNot(t *testing.T) {
	t.Parallel()
	c := compile[list](t)
	loop := &list{value: 1}
	loop.older = loop
	_, err := c.Append(nil, loop)
	require.ErrorContains(t, err, "a cycle")

	var long list
	for i := range 9_000 {
		long = list{i, &list{long.value, long.older}}
	}
	data, err := c.Append(nil, &long)
	require.NoError(t, err)
	var got list
	require.NoError(t, c.Unmarshal(data, &got))
	require.Equal(t, 8_999, got.value)
	_, err = c.Append(nil, &list{1, &long})
	require.NoError(t, err)

	require.ErrorContains(t, c.Unmarshal(bytes.Repeat([]byte{0, 1}, 1<<15), &got), "deep")
}

func TestDamageIsAnError(t *testing.T) {
	t.Parallel()
	c := compile[state](t)
	want := full()
	data, err := c.Append(nil, &want)
	require.NoError(t, err)
	for n := range data {
		var got state
		require.Error(t, c.Unmarshal(data[:n], &got), "cut after %d bytes", n)
	}
	var got state
	require.ErrorContains(t, c.Unmarshal(append(data, 0), &got), "goes on")
	require.Error(t, c.Unmarshal(data, &list{}))
	require.Error(t, c.Unmarshal(data, got))
	require.Error(t, c.Unmarshal(data, (*state)(nil)))

	ints := compile[[]int64](t)
	require.Error(t, ints.Unmarshal([]byte{0xff, 0xff, 0xff, 0xff, 0x07}, new([]int64)), "more elements than bytes")
	require.Error(t, compile[map[int]int](t).Unmarshal([]byte{3, 2, 2, 2, 2}, new(map[int]int)), "a key twice")
	require.Error(t, compile[int8](t).Unmarshal([]byte{0x80, 0x02}, new(int8)), "128")
}

func FuzzUnmarshal(f *testing.F) {
	c := compile[state](f)
	for _, v := range []state{full(), {}, {text: strings.Repeat("x", 300)}} {
		data, err := c.Append(nil, &v)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got state
		if c.Unmarshal(data, &got) != nil {
			return
		}
		once, err := c.Append(nil, &got)
		require.NoError(t, err)
		var again state
		require.NoError(t, c.Unmarshal(once, &again))
		twice, err := c.Append(nil, &again)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	c := compile[state](b)
	want := full()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.Append(buf[:0], &want); err != nil {
			b.Fatal(err)
		}
		var got state
		if err = c.Unmarshal(buf, &got); err != nil {
			b.Fatal(err)
		}
	}
}
