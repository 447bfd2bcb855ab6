package shred_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/shred"
)

type address struct{ Street, City string }

type registered struct {
	ID     string
	Name   string   `personal:"customer/ID"              erased:"[erased]"`
	Email  string   `json:"email,omitempty"              msgpack:"email,omitempty" personal:"customer/ID"`
	Born   int      `personal:"customer/ID"              erased:"-1"`
	Home   *address `personal:"customer/ID"`
	Phones []string `personal:"customer/ID"`
	Gone   bool     `personal:"customer/ID"              erased:"true"`
	Plan   string
	At     time.Time
}

func ada() registered {
	return registered{
		ID: "ada", Name: "Ada Lovelace", Email: "ada@example.org", Born: 1815, Home: &address{"St James's Square", "London"},
		Phones: []string{"+44 1", "+44 2"}, Plan: "gold", At: time.Unix(1815, 0).UTC(),
	}
}

func erasedAda() registered {
	return registered{ID: "ada", Name: "[erased]", Born: -1, Gone: true, Plan: "gold", At: time.Unix(1815, 0).UTC()}
}

type guest struct {
	ID   string
	Name string `personal:"guest/ID" erased:"somebody"`
	Seat int
}

// invited has data of several subjects, in several places.
type invited struct {
	Host    string
	Letter  string `personal:"guest/Host"`
	Guests  []guest
	Speaker *guest
	Chair   guest
}

func party() invited {
	return invited{
		Host: "bob", Letter: "Dear all", Chair: guest{"carol", "Carol", 1}, Speaker: &guest{"dave", "Dave", 2},
		Guests: []guest{{"ada", "Ada", 3}, {"bob", "Bob", 4}, {"ada", "Ada again", 5}},
	}
}

type noted struct {
	_     struct{} `personal:"customer/Of.ID"`
	Of    struct{ ID int }
	Text  string `erased:"[gone]"`
	Bytes []byte
}

func note() noted {
	n := noted{Text: "likes tea", Bytes: []byte{0, 1, 2}}
	n.Of.ID = 7
	return n
}

type plain struct{ Text string }

// fast has the methods that msgp generates, for a tuple.
type fast struct {
	ID     byte
	Secret byte `personal:"ID"`
}

func (f *fast) MarshalMsg(b []byte) ([]byte, error) {
	return append(b, 0x92, f.ID&0x7f, f.Secret&0x7f), nil
}

func (f *fast) UnmarshalMsg(b []byte) ([]byte, error) {
	if len(b) < 3 || b[0] != 0x92 {
		return nil, errors.New("not fast")
	}
	f.ID, f.Secret = b[1], b[2]
	return b[3:], nil
}

// reversed is an encoding of which nothing is known: JSON, backwards.
type reversed struct{ codec.Encoding }

func (reversed) ContentType() string { return "application/reversed" }

func (r reversed) Marshal(v any) ([]byte, error) { return r.Append(nil, v) }

func (reversed) Append(b []byte, v any) ([]byte, error) {
	data, err := codec.JSON.Marshal(v)
	slices.Reverse(data)
	return append(b, data...), err
}

func (reversed) Unmarshal(data []byte, v any) error {
	data = bytes.Clone(data)
	slices.Reverse(data)
	return codec.JSON.Unmarshal(data, v)
}

var encodings = map[string]codec.Encoding{"msgpack": codec.Msgpack, "json": codec.JSON, "unknown": reversed{codec.JSON}}

// A rig is a codec with a ring of its own.
type rig struct {
	*codec.Codec

	ring *shred.Ring
	keys *store
}

// store fails when it is told to.
type store struct {
	shred.Memory

	mu    sync.Mutex
	fails error
	asked int
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *store) ask() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.fails
}

func (s *store) Find(ctx context.Context, subject string) (shred.Keys, error) {
	if err := s.ask(); err != nil {
		return shred.Keys{}, err
	}
	return s.Memory.Find(ctx, subject)
}

func (s *store) Make(ctx context.Context, subject string) (shred.Keys, error) {
	if err := s.ask(); err != nil {
		return shred.Keys{}, err
	}
	return s.Memory.Make(ctx, subject)
}

func (s *store) Erase(ctx context.Context, subject string) error {
	if err := s.ask(); err != nil {
		return err
	}
	return s.Memory.Erase(ctx, subject)
}

func types() []codec.Registration {
	return []codec.Registration{
		codec.Type[registered]("customer.registered"), codec.Type[noted]("customer.noted"), codec.Type[plain]("plain"),
	}
}

func newRig(enc codec.Encoding, more ...codec.Registration) *rig {
	keys := new(store)
	ring := shred.NewRing(keys, nil)
	all := append(types(), codec.Default(enc), ring.Seal())
	return &rig{codec.New(append(all, more...)...), ring, keys}
}

func (r *rig) encode(t *testing.T, event any) eventstore.Recorded {
	t.Helper()
	e, err := r.Encode(event)
	require.NoError(t, err)
	return recordedOf(e)
}

func recordedOf(e eventstore.Event) eventstore.Recorded {
	return eventstore.Recorded{Stream: "customer-1", Version: 1, Type: e.Type, ContentType: e.ContentType, Data: e.Data, Metadata: e.Metadata}
}

func (r *rig) decode(t *testing.T, rec eventstore.Recorded) any {
	t.Helper()
	before := bytes.Clone(rec.Data)
	v, err := r.Decode(rec)
	require.NoError(t, err)
	assert.Equal(t, before, rec.Data, "a stored event was changed")
	return utc(v)
}

func utc(v any) any {
	if r, ok := v.(registered); ok {
		r.At = r.At.UTC()
		return r
	}
	return v
}

func TestRoundTripAndErasure(t *testing.T) {
	t.Parallel()
	gone := noted{Text: "[gone]"}
	gone.Of.ID = 7
	for name, enc := range encodings {
		for _, tt := range []struct {
			event, erased any
			subject       string
			secrets       []string
		}{
			{ada(), erasedAda(), "customer/ada", []string{"Lovelace", "ada@example.org", "London", "+44", "1815"}},
			{note(), gone, "customer/7", []string{"likes tea"}},
		} {
			t.Run(fmt.Sprintf("%s %T", name, tt.event), func(t *testing.T) {
				t.Parallel()
				r := newRig(enc)
				rec := r.encode(t, tt.event)
				for _, stored := range [][]byte{rec.Data, []byte(rec.Metadata.Encoded())} {
					for _, secret := range tt.secrets {
						assert.NotContains(t, string(stored), secret)
						slices.Reverse(stored)
						assert.NotContains(t, string(stored), secret)
						slices.Reverse(stored)
					}
				}
				assert.Equal(t, []string{tt.subject}, shred.Subjects(rec.Metadata))
				assert.Equal(t, tt.event, r.decode(t, rec))
				erased, err := r.ring.Erased(rec.Metadata)
				require.NoError(t, err)
				assert.False(t, erased)

				require.NoError(t, r.ring.Erase(t.Context(), tt.subject))
				assert.Equal(t, tt.erased, r.decode(t, rec))
				erased, err = r.ring.Erased(rec.Metadata)
				require.NoError(t, err)
				assert.True(t, erased)
				_, err = r.Encode(tt.event)
				require.ErrorIs(t, err, shred.ErrErased)

				require.NoError(t, r.ring.Admit(t.Context(), tt.subject))
				assert.Equal(t, tt.event, r.decode(t, r.encode(t, tt.event)))
				assert.Equal(t, tt.erased, r.decode(t, rec), "what was erased came back")
			})
		}
	}
}

func TestWhoHasNoKeysReadsAnOrdinaryEvent(t *testing.T) {
	t.Parallel()
	rec := newRig(codec.JSON).encode(t, ada())
	assert.Equal(t, eventstore.ContentTypeJSON, rec.ContentType)
	var got map[string]any
	require.NoError(t, json.Unmarshal(rec.Data, &got))
	assert.Equal(t, "[erased]", got["Name"])
	assert.Equal(t, "gold", got["Plan"])
	for k, v := range rec.Metadata.All() {
		if k == eventstore.KeySealed {
			_, err := base64.RawStdEncoding.DecodeString(v)
			require.NoError(t, err, "it must be text that any store keeps")
		}
	}
}

func TestSeveralSubjectsInOneEvent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"msgpack", "json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(encodings[name], codec.Type[invited]("invited"))
			rec := r.encode(t, party())
			assert.ElementsMatch(t, []string{"guest/ada", "guest/bob", "guest/carol", "guest/dave"}, shred.Subjects(rec.Metadata))
			want := party()
			require.Equal(t, want, r.decode(t, rec))
			for _, step := range []struct {
				subject string
				erase   func()
			}{
				{"guest/ada", func() { want.Guests[0].Name, want.Guests[2].Name = "somebody", "somebody" }},
				{"guest/dave", func() { want.Speaker.Name = "somebody" }},
				{"guest/bob", func() { want.Letter, want.Guests[1].Name = "", "somebody" }},
				{"guest/carol", func() { want.Chair.Name = "somebody" }},
			} {
				require.NoError(t, r.ring.Erase(t.Context(), step.subject))
				step.erase()
				require.Equal(t, want, r.decode(t, rec))
			}
		})
	}
	r := newRig(encodings["unknown"], codec.Type[invited]("invited"))
	_, err := r.Encode(party())
	require.ErrorContains(t, err, "several subjects")
	alone := invited{Guests: []guest{{"ada", "Ada", 3}, {"ada", "Ada again", 4}}}
	require.Equal(t, alone, r.decode(t, r.encode(t, alone)))
}

func TestTheCallersValueIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack, codec.Type[invited]("invited"))
	event := party()
	r.encode(t, event)
	assert.Equal(t, party(), event)
	customer := ada()
	home, phones := customer.Home, customer.Phones
	r.encode(t, customer)
	assert.Equal(t, ada().Home, home)
	assert.Equal(t, ada().Phones, phones)
}

func TestGeneratedTypesAndOptions(t *testing.T) {
	t.Parallel()
	type generated struct {
		ID   uint32
		Home *address
		Tags []string
	}
	r := newRig(codec.Msgpack, codec.Type[fast]("fast"), codec.Type[generated]("generated", shred.Fields(
		shred.Field{Path: "Home.Street", Subject: "City", Erased: "nowhere"}, shred.Field{Path: "Tags", Subject: "user/ID"},
	)))
	rec := r.encode(t, fast{1, 42})
	assert.Equal(t, []byte{0x92, 1, 0}, rec.Data, "the generated method was not used")
	assert.Equal(t, fast{1, 42}, r.decode(t, rec))

	event := generated{ID: 9, Home: &address{"1 Main Street", "Springfield"}, Tags: []string{"yellow"}}
	rec = r.encode(t, event)
	assert.Equal(t, []string{"user/9", "Springfield"}, shred.Subjects(rec.Metadata))
	assert.Equal(t, event, r.decode(t, rec))
	require.NoError(t, r.ring.Erase(t.Context(), "user/9"))
	require.NoError(t, r.ring.Erase(t.Context(), "Springfield"))
	assert.Equal(t, generated{ID: 9, Home: &address{"nowhere", "Springfield"}}, r.decode(t, rec))
}

func TestNothingPersonalIsNotSealed(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack, codec.Type[invited]("invited"))
	unsealed := codec.New(codec.Type[plain]("plain"))
	want, err := unsealed.Encode(plain{"tea"})
	require.NoError(t, err)
	got, err := r.Encode(plain{"tea"})
	require.NoError(t, err)
	assert.Equal(t, want, got)
	for _, event := range []any{invited{}, invited{Host: "bob"}, invited{Guests: []guest{{}, {ID: "ada", Name: "somebody"}}}} {
		rec := r.encode(t, event)
		assert.Zero(t, rec.Metadata.Len())
		assert.Equal(t, event, r.decode(t, rec))
	}
	assert.Zero(t, r.keys.asked, "a key was made for nothing")
}

func TestPersonalDataWithoutASubjectIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack, codec.Type[invited]("invited"))
	for _, event := range []any{
		registered{Name: "Ada"}, noted{Text: "tea"},
		invited{Host: "bob", Letter: "Dear all", Guests: []guest{{Name: "Ada"}}},
	} {
		_, err := r.Encode(event)
		require.ErrorContains(t, err, "subject is empty", "%T", event)
	}
}

func TestEventsFromBeforeAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	type registered struct{ ID, Name string } // before there were tags
	before := codec.New(codec.Type[registered]("customer.registered"))
	e, err := before.Encode(registered{"ada", "Ada"})
	require.NoError(t, err)
	r := newRig(codec.Msgpack)
	got := r.decode(t, eventstore.Recorded{Type: e.Type, ContentType: e.ContentType, Data: e.Data})
	assert.Equal(t, "Ada", got.(interface{ name() string }).name())
}

func (r registered) name() string { return r.Name }

// Opening goes by what is stored and not by tags, so that types can change.
func TestSealedEventsAreUpcast(t *testing.T) {
	t.Parallel()
	type person struct{ ID, FullName, Email string }
	type named struct {
		ID       string
		FullName string `personal:"customer/ID"`
	}
	for name, up := range map[string][]codec.Registration{
		"upcast": {codec.Upcast("customer.registered", 1, func(r registered) person { return person{r.ID, r.Name, r.Email} }), codec.Type[person]("person")},
		"rewrite": {codec.Rewrite("customer.registered", 1, func(doc map[string]any) error {
			doc["FullName"], doc["Email"] = doc["Name"], doc["email"]
			return nil
		}), codec.Type[person]("customer.registered", codec.SchemaVersion(2))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(codec.Msgpack)
			rec := r.encode(t, ada())
			now := codec.New(append(up, r.ring.Seal(), codec.Type[named]("named"))...)
			got, err := now.Decode(rec)
			require.NoError(t, err)
			assert.Equal(t, person{"ada", "Ada Lovelace", "ada@example.org"}, got)
			require.NoError(t, r.ring.Erase(t.Context(), "customer/ada"))
			got, err = now.Decode(rec)
			require.NoError(t, err)
			assert.Equal(t, person{ID: "ada", FullName: "[erased]"}, got)
		})
	}
}

func TestPlainIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	for _, event := range []any{ada(), note(), plain{"tea"}} {
		first, err := r.Plain(event)
		require.NoError(t, err)
		second, err := r.Plain(event)
		require.NoError(t, err)
		assert.Equal(t, first, second)
		assert.NotEmpty(t, first)
	}
	assert.Zero(t, r.keys.asked)
}

func TestDecodeInto(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	rec := r.encode(t, ada())
	var got registered
	require.NoError(t, r.DecodeInto(rec, &got))
	assert.Equal(t, ada(), utc(got))
	require.NoError(t, r.ring.Erase(t.Context(), "customer/ada"))
	got = registered{}
	require.NoError(t, r.DecodeInto(rec, &got))
	assert.Equal(t, erasedAda(), utc(got))
}

func TestTampering(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]any{"fields": ada(), "whole": note()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(codec.Msgpack, codec.Type[fast]("customer.else"))
			rec := r.encode(t, event)
			text := rec.Metadata.Get(eventstore.KeySealed)
			raw, err := base64.RawStdEncoding.DecodeString(text)
			require.NoError(t, err)
			for i := range raw {
				for _, bit := range []byte{1, 0x80} {
					bad := bytes.Clone(raw)
					bad[i] ^= bit
					rec.Metadata = eventstore.NewMetadata(eventstore.KeySealed, base64.RawStdEncoding.EncodeToString(bad))
					_, err := r.Decode(rec)
					require.Error(t, err, "byte %d", i)
					var failed *codec.DecodeError
					require.ErrorAs(t, err, &failed)
					if !errors.Is(err, shred.ErrTampered) { // it names a key or a subject that there is not
						require.ErrorIs(t, err, shred.ErrUnknownKey, "byte %d", i)
					}
				}
			}
			for _, bad := range []string{"", "!", text[:len(text)/2], text + "AAAA"} {
				rec.Metadata = eventstore.NewMetadata(eventstore.KeySealed, bad)
				_, err := r.Decode(rec)
				require.Error(t, err, bad)
			}
			rec.Metadata = eventstore.NewMetadata(eventstore.KeySealed, text)
			if name == "whole" {
				rec.Data[3] ^= 1
				_, err = r.Decode(rec)
				require.ErrorIs(t, err, shred.ErrTampered)
				rec.Data[3] ^= 1
			}
			rec.Type = "customer.else"
			_, err = r.Decode(rec)
			require.ErrorIs(t, err, shred.ErrTampered, "it was moved to another type")
		})
	}
}

func TestSealedDataCannotBeMovedToAnotherSubject(t *testing.T) {
	t.Parallel()
	r := newRig(codec.Msgpack)
	bob := ada()
	bob.ID = "bob"
	recs := []eventstore.Recorded{r.encode(t, ada()), r.encode(t, bob)}
	raw := [2][]byte{}
	for i := range recs {
		raw[i], _ = base64.RawStdEncoding.DecodeString(recs[i].Metadata.Get(eventstore.KeySealed))
	}
	require.Len(t, raw[0], len(raw[1]))
	head := bytes.Index(raw[0], []byte("ada")) + 3 + 8 // behind the subject and the key's id
	moved := append(bytes.Clone(raw[1][:head]), raw[0][head:]...)
	recs[1].Metadata = eventstore.NewMetadata(eventstore.KeySealed, base64.RawStdEncoding.EncodeToString(moved))
	_, err := r.Decode(recs[1])
	var tampered *shred.TamperedError
	require.ErrorAs(t, err, &tampered)
	assert.Equal(t, "customer/bob", tampered.Subject)
}
