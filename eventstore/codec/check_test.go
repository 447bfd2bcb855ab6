package codec_test

import (
	"math/big"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

type (
	tree struct {
		Left, Right *tree
		Of          map[string][]tree
	}
	point   struct{ x, y int } //nolint:unused // that nothing can be stored of it is the point
	corners struct {
		At   map[point]string
		Area [2][]point
	}
	base   struct{ Name string }
	around struct {
		base
		*codec.DecodeError `json:"-" msgpack:"-"`
		Extra              int
	}
	hidden  struct{ *base }
	bothWay struct{ *Other }
	Other   struct {
		*Third
		N int
	}
	Third  struct{ *Other }
	shapes struct {
		Deep []map[string]*struct{ Ready chan int }
		Call func() `json:"-" msgpack:"-"`
		Err  error
		Any  any
		Tags map[any]string
		Z    complex128
		P    uintptr
	}
)

func TestTypesAreCheckedDeeply(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		t             reflect.Type
		json, msgpack []string
	}{
		"recursive": {t: reflect.TypeFor[tree]()},
		"known by others": {t: reflect.TypeFor[struct {
			At   time.Time
			Big  big.Int
			Addr map[netip.Addr]*big.Int
		}]()},
		"empty": {t: reflect.TypeFor[struct{}]()},
		"unexported only": {
			reflect.TypeFor[corners](),
			[]string{"corners.At is a map[codec_test.point]string, whose keys", "corners.At (key) is a codec_test.point, of which no field"},
			[]string{"corners.At (key) is a codec_test.point, of which no field"},
		},
		"a lock":           {reflect.TypeFor[struct{ Mu sync.Mutex }](), []string{".Mu is a sync.Mutex, of which no field"}, []string{".Mu is a sync.Mutex"}},
		"embedded":         {t: reflect.TypeFor[around]()},
		"embedded pointer": {reflect.TypeFor[hidden](), []string{"hidden.base is an embedded pointer"}, []string{"hidden.base is an embedded pointer"}},
		"embedded circle":  {t: reflect.TypeFor[bothWay]()},
		"all that is wrong": {
			reflect.TypeFor[shapes](),
			[]string{"shapes.Deep[][].Ready is a chan", "shapes.Err is the interface error", "shapes.Tags is a map[interface {}]string", "shapes.Z is a complex128"},
			[]string{"shapes.Deep[][].Ready is a chan", "shapes.Err is the interface error", "shapes.Z is a complex128", "shapes.P is a uintptr"},
		},
		"pointer":   {reflect.TypeFor[*placed](), []string{"is a ptr"}, []string{"is a ptr"}},
		"interface": {reflect.TypeFor[any](), []string{"is a interface"}, []string{"is a interface"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for enc, says := range map[codec.Encoding][]string{codec.JSON: tt.json, codec.Msgpack: tt.msgpack} {
				err := enc.(codec.TypeChecker).CheckType(tt.t)
				if len(says) == 0 {
					require.NoError(t, err)
					continue
				}
				for _, s := range says {
					require.ErrorContains(t, err, s)
				}
				all, ok := err.(interface{ Unwrap() []error })
				if ok {
					assert.Len(t, all.Unwrap(), len(says))
				}
			}
		})
	}
}

func TestPartsThatOnlyPointersCanEncode(t *testing.T) {
	t.Parallel()
	type priced struct{ Price big.Int }
	for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
		c := codec.New(codec.Default(enc), codec.Type[priced]("item.priced"))
		e, err := c.Encode(priced{*big.NewInt(1234)})
		require.NoError(t, err)
		got, err := c.Decode(recorded(e))
		require.NoError(t, err)
		p := got.(priced)
		assert.Equal(t, "1234", p.Price.String())
	}
}

// twin is JSON by another content type.
type twin struct{ codec.Encoding }

func (twin) ContentType() string { return "application/twin" }

func TestContentTypeFindsTheEncoding(t *testing.T) {
	t.Parallel()
	writer := codec.New(codec.Type[shipped]("order.shipped", codec.As(twin{codec.JSON})))
	e, err := writer.Encode(shipped{"x"})
	require.NoError(t, err)
	assert.Equal(t, "application/twin", e.ContentType)

	today := codec.New(codec.Type[shipped]("order.shipped"))
	_, err = today.Decode(recorded(e))
	require.ErrorContains(t, err, `no encoding has its content type "application/twin"; add codec.Reads`)
	today = codec.New(codec.Type[shipped]("order.shipped"), codec.Reads(twin{codec.JSON}))
	got, err := today.Decode(recorded(e))
	require.NoError(t, err)
	assert.Equal(t, shipped{"x"}, got)

	r := recorded(e)
	r.ContentType, r.Metadata = eventstore.ContentTypeBinary, eventstore.NewMetadata(eventstore.KeyContentType, "application/twin")
	got, err = today.Decode(r)
	require.NoError(t, err, "a store that keeps no content types has it in the metadata")
	assert.Equal(t, shipped{"x"}, got)

	assert.PanicsWithError(t, `codec: two encodings, codec_test.twin and codec_test.twin, have content type "application/twin"; what is stored could be either`, func() {
		codec.New(codec.Reads(twin{codec.JSON}, twin{codec.Msgpack}))
	})
}

// lists has generated methods and a field whose room is made by a number.
type lists struct{ Of []string }

func (l *lists) MarshalMsg(b []byte) ([]byte, error) { return append(b, 0x90), nil }

func (l *lists) UnmarshalMsg(b []byte) ([]byte, error) {
	n := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4]) // as what is generated does
	l.Of = make([]string, n)
	return nil, nil
}

func TestGeneratedTypesMakeNoRoomForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	c := codec.New(codec.Type[lists]("lists"), codec.Type[added]("order.added"))
	huge := []byte{0xdd, 0x30, 0x30, 0x30, 0x30}
	_, err := c.Decode(eventstore.Recorded{Type: "lists", ContentType: eventstore.ContentTypeMsgpack, Data: huge})
	require.Error(t, err)
	for cut := range 5 { // a map of more fields than there are ends with the data
		_, err = c.Decode(eventstore.Recorded{Type: "order.added", ContentType: eventstore.ContentTypeMsgpack, Data: []byte{0xdf, 0x30, 0x30, 0x30, 0x30}[:5-cut]})
		require.Error(t, err)
	}
}
