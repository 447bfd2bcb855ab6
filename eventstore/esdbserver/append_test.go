package esdbserver_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestIDsComeAndGoInBothForms(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	id := eventstore.NewID()
	most, least := int64(binary.BigEndian.Uint64(id[:8])), int64(binary.BigEndian.Uint64(id[8:]))
	structured := proposal(id, "t", "1")
	structured.Id = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{MostSignificantBits: most, LeastSignificantBits: least}}}
	assert.Equal(t, "0 @9", outcome(c.append("a", wantNone, structured)))
	assert.Equal(t, "0 @9", outcome(c.append("a", wantNone, proposal(id, "t", "1"))), "the same id in the other form")
	resps, err := c.read(ofStream("a", atStart))
	require.NoError(t, err)
	assert.Equal(t, most, resps[0].GetEvent().GetEvent().GetId().GetStructured().GetMostSignificantBits())
	assert.Equal(t, least, resps[0].GetEvent().GetEvent().GetId().GetStructured().GetLeastSignificantBits())
	resps, err = c.read(ofStream("a", atStart), textIDs)
	require.NoError(t, err)
	assert.Equal(t, id.String(), resps[0].GetEvent().GetEvent().GetId().GetString_())
}

// A client that is still sending must see why its append is refused.
func TestAnAppendIsTakenToItsEndBeforeItIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	c := s.stub(t)
	big := strings.Repeat("x", 100<<10)
	reqs := []*streams.AppendReq{appendOptions("a", wantAny)}
	for range 200 { // 20 MB, more than any buffer between holds
		reqs = append(reqs, proposing(proposal(eventstore.NewID(), "t", big)))
	}
	_, trailer, err := c.send(reqs...)
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
	assert.Equal(t, []string{"maximum-append-size-exceeded"}, trailer["exception"])
	reqs[0] = appendOptions("$all", wantAny)
	_, trailer, err = c.send(reqs...)
	assert.Equal(t, codes.PermissionDenied, status.Code(err))
	assert.Equal(t, []string{"access-denied"}, trailer["exception"])

	var events []esdb.EventData
	for range 100 {
		events = append(events, esdb.EventData{EventType: "t", Data: []byte(big)})
	}
	_, err = s.client(t).AppendToStream(t.Context(), "a", esdb.AppendToStreamOptions{}, events...)
	assert.ErrorContains(t, err, "Maximum Append Size of 1048576 Exceeded.", "the official client must see the status, not EOF")
}

// The size is that of the data, the metadata and the type in UTF-16.
func TestTheSizeOfAnAppend(t *testing.T) {
	t.Parallel()
	const limit = 1000
	c := serve(t, roomy(), &esdbserver.Options{MaxAppendSize: limit}).stub(t)
	for _, x := range []struct {
		typ   string
		units int
	}{{"plain", 5}, {"grün", 4}, {"☃", 1}, {"😀", 2}, {"a😀b", 4}} {
		p := proposal(eventstore.NewID(), x.typ, strings.Repeat("d", limit-100-2*x.units))
		p.CustomMetadata = []byte(strings.Repeat("m", 100))
		_, _, err := c.append("a", wantAny, p)
		require.NoError(t, err, x.typ)
		p.Data = append(p.Data, 'd')
		_, trailer, err := c.append("a", wantAny, p)
		assert.Equal(t, codes.InvalidArgument, status.Code(err), x.typ)
		assert.Equal(t, fmt.Sprintf("Maximum Append Size of %d Exceeded.", limit), status.Convert(err).Message())
		assert.Equal(t, []string{"1000"}, trailer["maximum-append-size"])
	}
	half := func() *streams.AppendReq_ProposedMessage {
		return proposal(eventstore.NewID(), "t", strings.Repeat("d", limit/2-2))
	}
	assert.Equal(t, "5 @14", outcome(c.append("a", wantAny, half())))
	assert.Equal(t, "7 @16", outcome(c.append("a", wantAny, half(), half())), "two that are the limit together")
	assert.Equal(t, "InvalidArgument", outcome(c.append("a", wantAny, half(), half(), proposal(eventstore.NewID(), "t", ""))), "the sum counts")
	assert.Equal(t, "7", outcome(c.append("a", wantAny)), "nothing of it was written")
}

func TestMessagesOfAnAppendThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	p := func(change func(*streams.AppendReq_ProposedMessage)) []*streams.AppendReq {
		m := proposal(eventstore.NewID(), "t", "1")
		change(m)
		return []*streams.AppendReq{appendOptions("a", wantAny), proposing(m)}
	}
	noExpectation := appendOptions("a", wantAny)
	noExpectation.GetOptions().ExpectedStreamRevision = nil
	const property = "missing-required-metadata-property"
	for _, x := range []struct {
		what      string
		reqs      []*streams.AppendReq
		code      codes.Code
		exception string
	}{
		{"nothing", nil, codes.Unknown, ""},
		{"an empty message", []*streams.AppendReq{{}}, codes.Unknown, ""},
		{"an event first", []*streams.AppendReq{proposing(proposalsOf(1)[0])}, codes.Unknown, ""},
		{"options twice", []*streams.AppendReq{appendOptions("a", wantAny), appendOptions("a", wantAny)}, codes.Unknown, ""},
		{"no expectation", []*streams.AppendReq{noExpectation}, codes.InvalidArgument, ""},
		{"no name", []*streams.AppendReq{appendOptions("", wantAny)}, codes.InvalidArgument, ""},
		{"metadata of nothing", []*streams.AppendReq{appendOptions("$$", wantAny)}, codes.InvalidArgument, ""},
		{"$all", []*streams.AppendReq{appendOptions("$all", wantAny)}, codes.PermissionDenied, "access-denied"},
		{"no type", p(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "type") }), codes.InvalidArgument, property},
		{"no content type", p(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "content-type") }), codes.InvalidArgument, property},
		{"an empty type", p(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = "" }), codes.Unknown, ""},
		{"an empty id", p(func(m *streams.AppendReq_ProposedMessage) { m.Id = textID(eventstore.ID{}) }), codes.Unknown, ""},
		{"no id", p(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil }), codes.InvalidArgument, ""},
		{"text that is no id", p(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "seven"}}
		}), codes.InvalidArgument, ""},
	} {
		_, trailer, err := c.send(x.reqs...)
		assert.Equal(t, x.code, status.Code(err), "%s: %v", x.what, err)
		assert.Equal(t, x.exception, strings.Join(trailer["exception"], ""), x.what)
		if x.exception == property {
			assert.Equal(t, []string{"type,content-type"}, trailer["required-metadata-properties"])
		}
	}
	assert.Equal(t, []string{"not found: a"}, c.shows(ofStream("a", atStart)), "nothing of it was written")
}

// JSON is JSON, all else is bytes; what the protocol has no room for is dropped.
func TestWhatIsKeptOfAnEvent(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	for _, kind := range []string{"application/json", "application/octet-stream", "application/xml", ""} {
		p := proposal(eventstore.NewID(), "placed", "{}")
		p.Metadata["content-type"], p.Metadata["tenant"] = kind, "x"
		p.CustomMetadata = []byte("not \x00 JSON")
		_, _, err := c.append("a", wantAny, p)
		require.NoError(t, err)
	}
	resps, err := c.read(ofStream("a", atStart))
	require.NoError(t, err)
	for i, want := range []string{"application/json", "application/octet-stream", "application/octet-stream", "application/octet-stream"} {
		e := resps[i].GetEvent().GetEvent()
		assert.Equal(t, want, e.GetMetadata()["content-type"])
		assert.Equal(t, "placed", e.GetMetadata()["type"])
		assert.Regexp(t, `^\d{17}$`, e.GetMetadata()["created"], "ticks of 100 ns since 1970; without them the Go client exits")
		assert.Len(t, e.GetMetadata(), 3)
		assert.Equal(t, "not \x00 JSON", string(e.GetCustomMetadata()))
		assert.Equal(t, "{}", string(e.GetData()))
	}
}

// The decisions of EventStoreDB's writer. Positions begin at 9, after the first
// system events; one is $$ of a stream that was undeleted.
func TestDecisionsAboutAnAppend(t *testing.T) {
	t.Parallel()
	id := make([]eventstore.ID, 8)
	for i := range id {
		id[i] = eventstore.NewID()
	}
	type step struct {
		what   string
		stream string
		want   int64
		ids    []eventstore.ID
		says   string
	}
	const long = math.MaxInt64
	run := func(prepare func(c stub), steps ...step) {
		c := stubOf(t, memstore.New(nil))
		prepare(c)
		for _, s := range steps {
			var ps []*streams.AppendReq_ProposedMessage
			for _, id := range s.ids {
				ps = append(ps, proposal(id, "t", "{}"))
			}
			assert.Equal(t, s.says, outcome(c.append(s.stream, s.want, ps...)), s.what)
		}
	}
	run(func(stub) {},
		step{"zero events to no stream", "a", wantAny, nil, "no stream"},
		step{"zero events, none expected", "a", wantNone, nil, "no stream"},
		step{"exists, but does not", "a", wantExists, id[:1], "wrong: no stream"},
		step{"beyond nothing", "a", 0, id[:1], "wrong: no stream"},
		step{"far beyond nothing", "a", long, id[:1], "wrong: no stream"},
		step{"new", "a", wantNone, id[:2], "1 @10"},
		step{"repeated with no stream", "a", wantNone, id[:2], "1 @10"},
		step{"the first of it repeated", "a", wantNone, id[:1], "0 @9"},
		step{"repeated with any", "a", wantAny, id[:2], "1 @10"},
		step{"repeated with exists", "a", wantExists, id[1:2], "1 @10"},
		step{"repeated in part with any", "a", wantAny, id[:3], "wrong: 1"},
		step{"repeated in part with no stream", "a", wantNone, id[:3], "wrong: 1"},
		step{"another with no stream", "a", wantNone, id[3:4], "wrong: 1"},
		step{"beyond", "a", 2, id[3:4], "wrong: 1"},
		step{"exact", "a", 1, id[2:3], "2 @11"},
		step{"exact repeated", "a", 1, id[2:3], "2 @11"},
		step{"exact repeated, from within", "a", 0, id[1:3], "2 @11"},
		step{"a later one differs", "a", 0, []eventstore.ID{id[1], id[5]}, "wrong: 2"},
		step{"exact at an earlier revision", "a", 0, id[5:6], "wrong: 2"},
		step{"zero events at an earlier revision", "a", 0, nil, "wrong: 2"},
		step{"zero events at the revision", "a", 2, nil, "2"},
		step{"zero events, any", "a", wantAny, nil, "2"},
		step{"an id again at the exact revision is stored again", "a", 2, id[2:3], "3 @12"},
		step{"an id twice in one append is stored twice", "a", 3, []eventstore.ID{id[6], id[6]}, "5 @14"},
		step{"an id of another stream", "b", wantAny, id[:1], "0 @15"},
		step{"zero events, exists", "a", wantExists, nil, "5"},
	)
	run(func(c stub) { // @9 @10, deleted by @11
		require.Equal(t, "1 @10", outcome(c.append("a", wantNone, proposal(id[0], "t", ""), proposal(id[1], "t", ""))))
		c.mustDelete(false, "a")
	},
		step{"a deleted stream that must exist", "a", wantExists, id[2:3], "FailedPrecondition"},
		step{"at another revision", "a", 0, id[2:3], "wrong: 1"},
		step{"no stream continues it", "a", wantNone, id[2:3], "2 @12"},
		step{"and is repeated", "a", 1, id[2:3], "2 @12"},
		step{"it exists again", "a", wantExists, id[3:4], "3 @14"},
	)
	run(func(c stub) { c.setMetadata("m", `{"$maxCount":3}`) },
		step{"only metadata is enough to exist", "m", wantExists, id[:1], "0 @10"})
	run(func(c stub) { c.mustAppend("a", 1); c.mustDelete(true, "a") },
		step{"a tombstone, any", "a", wantAny, id[:1], "FailedPrecondition"},
		step{"a tombstone, exact", "a", 1, id[:1], "FailedPrecondition"},
		step{"a tombstone, zero events", "a", wantAny, nil, "FailedPrecondition"},
		step{"its metadata", "$$a", wantAny, id[:1], "FailedPrecondition"},
	)
}

// Clients read either the options of today or those of before 20.10.
func TestWrongVersionsAreSaidInBothForms(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("a", 3)
	known := proposal(eventstore.NewID(), "t", "")
	c.mustAppend("b", 1)
	_, _, err := c.append("b", wantAny, known)
	require.NoError(t, err)
	for _, x := range []struct {
		what       string
		stream     string
		want       int64
		exp, exp20 string
		at         any
	}{
		{"exact", "a", 7, "7", "7", uint64(2)},
		{"none", "a", wantNone, "none", "18446744073709551615", uint64(2)},
		{"exists", "none", wantExists, "exists", "exists", nil},
		{"any", "b", wantAny, "any", "any", uint64(1)},
		{"exact of nothing", "none", 0, "0", "0", nil},
	} {
		ps := proposalsOf(1)
		if x.want == wantAny {
			ps = []*streams.AppendReq_ProposedMessage{known, ps[0]} // a repetition in part
		}
		resp, _, err := c.append(x.stream, x.want, ps...)
		require.NoError(t, err, "it is an answer, not an error")
		w := resp.GetWrongExpectedVersion()
		require.NotNil(t, w, "%s: %v", x.what, resp)
		assert.Equal(t, x.exp, expectation(w), x.what)
		assert.Equal(t, x.exp20, expectation20(w), x.what)
		if x.at == nil {
			assert.IsType(t, &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{}, w.GetCurrentRevisionOption(), x.what)
			assert.IsType(t, &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{}, w.GetCurrentRevisionOption_20_6_0(), x.what)
		} else {
			assert.Equal(t, x.at, w.GetCurrentRevision(), x.what)
			assert.Equal(t, x.at, w.GetCurrentRevision_20_6_0(), x.what)
		}
	}
}

func expectation(w *streams.AppendResp_WrongExpectedVersion) string {
	switch o := w.GetExpectedRevisionOption().(type) {
	case *streams.AppendResp_WrongExpectedVersion_ExpectedRevision:
		return fmt.Sprint(o.ExpectedRevision)
	case *streams.AppendResp_WrongExpectedVersion_ExpectedAny:
		return "any"
	case *streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists:
		return "exists"
	case *streams.AppendResp_WrongExpectedVersion_ExpectedNoStream:
		return "none"
	}
	return "nothing"
}

func expectation20(w *streams.AppendResp_WrongExpectedVersion) string {
	switch o := w.GetExpectedRevisionOption_20_6_0().(type) {
	case *streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0:
		return fmt.Sprint(o.ExpectedRevision_20_6_0)
	case *streams.AppendResp_WrongExpectedVersion_Any_20_6_0:
		return "any"
	case *streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0:
		return "exists"
	}
	return "nothing"
}

func TestTheOfficialClientSeesAWrongVersion(t *testing.T) {
	t.Parallel()
	c := serve(t, memstore.New(nil), nil).client(t)
	_, err := c.AppendToStream(t.Context(), "a", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "t"}, esdb.EventData{EventType: "t"})
	require.NoError(t, err)
	_, err = c.AppendToStream(t.Context(), "a", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(7)}, esdb.EventData{EventType: "t"})
	var known *esdb.Error
	require.ErrorAs(t, err, &known)
	assert.Equal(t, esdb.ErrorCodeWrongExpectedVersion, known.Code())
	assert.ErrorContains(t, err, "expecting '7' but got '1'")
}
