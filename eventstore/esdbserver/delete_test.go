package esdbserver_test

import (
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// deleted describes a delete: its position or the actual version or the code.
func deleted(position uint64, trailer map[string][]string, err error) string {
	if err == nil {
		return fmt.Sprintf("@%d", position)
	}
	if was := trailer["actual-version"]; len(was) == 1 {
		return "wrong: " + was[0]
	}
	if what := trailer["exception"]; len(what) == 1 {
		return what[0]
	}
	return status.Code(err).String()
}

func TestDeletes(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		del := func(hard bool, stream string, want int64) string {
			p, trailer, err := c.deletes(hard, stream, want)
			return deleted(p, trailer, err)
		}
		for _, want := range []int64{wantAny, wantNone, wantExists, 0} {
			assert.Equal(t, "wrong: -1", del(false, "none", want), "nothing to delete softly, also with any")
		}
		assert.Equal(t, "wrong: -1", del(true, "none", wantExists))
		assert.Equal(t, "wrong: -1", del(true, "none", 0))
		assert.Equal(t, "@9", del(true, "none", wantAny), "but hard")
		assert.Equal(t, "@10", del(true, "none-2", wantNone))
		assert.Equal(t, "stream-deleted", del(true, "none", wantAny), "once")
		assert.Equal(t, "stream-deleted", del(false, "none", wantAny))
		assert.Equal(t, []string{"FailedPrecondition"}, c.shows(ofStream("none", atStart)))
		assert.Equal(t, []string{"FailedPrecondition"}, c.shows(ofStream("$$none", atStart)), "and its metadata")

		c.setMetadata("meta", `{"$maxCount":3}`) // @11
		assert.Equal(t, "@12", del(false, "meta", wantAny), "metadata is something to delete")
		assert.Equal(t, []string{"not found: meta"}, c.shows(ofStream("meta", atStart)))

		c.mustAppend("s", 3) // @13 … @15
		assert.Equal(t, "wrong: 2", del(false, "s", wantNone))
		assert.Equal(t, "wrong: 2", del(false, "s", 1))
		assert.Equal(t, "wrong: 2", del(false, "s", 3))
		assert.Equal(t, "wrong: 2", del(true, "s", 1))
		assert.Equal(t, "@16", del(false, "s", 2))
		assert.Equal(t, []string{"not found: s"}, c.shows(ofStream("s", atStart)))
		assert.Equal(t, "@17", del(false, "s", wantAny), "again")
		assert.Equal(t, "@18", del(false, "s", 2), "at its true revision")
		assert.Equal(t, "stream-deleted", del(false, "s", wantExists))
		assert.Equal(t, "stream-deleted", del(true, "s", wantExists))
		assert.Equal(t, "@19", del(true, "s", 2))

		c.mustAppend("u", 1)
		assert.Equal(t, "@21", del(false, "u", wantExists))
		assert.Equal(t, "access-denied", del(false, "$all", wantAny))
		assert.Equal(t, "access-denied", del(true, "$all", wantAny))
		assert.Equal(t, "InvalidArgument", del(false, "", wantAny))
		assert.Equal(t, "InvalidArgument", del(true, "", wantAny))
	})
}

func TestDeletesWithoutOptions(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	_, err := c.c.Delete(c.ctx, &streams.DeleteReq{})
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = c.c.Tombstone(c.ctx, &streams.TombstoneReq{})
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestWhatASoftDeleteWrites(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s", 2)
		c.setMetadata("s", `{"$maxCount":9,"mine":1}`)
		c.mustDelete(false, "s")
		resps, err := c.read(ofStream("$$s", atStart))
		require.NoError(t, err)
		assert.Equal(t, []string{"$$s/1"}, show(resps...))
		e := resps[0].GetEvent().GetEvent()
		assert.Equal(t, "$metadata", e.GetMetadata()["type"])
		assert.Equal(t, "application/json", e.GetMetadata()["content-type"])
		assert.JSONEq(t, `{"$tb":9223372036854775807}`, string(e.GetData()), "it replaces all the metadata")
	})
}

// A stream goes on where it was deleted, and its metadata says from where it
// can be read.
func TestASoftDeletedStreamGoesOn(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		for _, want := range []int64{wantAny, wantNone, 1} {
			stream := fmt.Sprint("s", want)
			c := stubOf(t, store)
			c.mustAppend(stream, 2)
			c.mustDelete(false, stream)
			resp, _, err := c.append(stream, want, proposalsOf(2)...)
			require.NoError(t, err)
			require.EqualValues(t, 3, resp.GetSuccess().GetCurrentRevision(), "%v", resp)
			assert.Equal(t, only(stream, 2, 3), c.shows(ofStream(stream, atStart)))
			assert.JSONEq(t, `{"$tb":2}`, c.metadata(stream))
		}
		c := stubOf(t, store)
		c.mustAppend("m", 2)
		c.mustDelete(false, "m")
		c.setMetadata("m", `{"mine":[1,2],"$maxCount":7}`)
		assert.JSONEq(t, `{"mine":[1,2],"$maxCount":7,"$tb":2}`, c.metadata("m"), "metadata lets it be written to again, and is kept")
		assert.Equal(t, "2", c.revision("m", 1))
	})
}

// metadata returns the data of the last metadata of a stream.
func (c stub) metadata(stream string) string {
	c.t.Helper()
	resps, err := c.read(ofStream("$$"+stream, atEnd), backwards, count(1))
	require.NoError(c.t, err)
	require.Len(c.t, resps, 1)
	return string(resps[0].GetEvent().GetEvent().GetData())
}

// revision appends an event at a revision and returns that of the event.
func (c stub) revision(stream string, want int64) string {
	c.t.Helper()
	resp, _, err := c.append(stream, want, proposalsOf(1)...)
	require.NoError(c.t, err)
	return fmt.Sprint(resp.GetSuccess().GetCurrentRevision())
}

// Clients of all languages know a tombstone by the highest number.
func TestWhatATombstoneIs(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s", 2)
		p, _, err := c.deletes(true, "s", 1)
		require.NoError(t, err)
		resps, err := c.read(ofAll(atEnd), backwards, count(1))
		require.NoError(t, err)
		e := resps[0].GetEvent().GetEvent()
		assert.Equal(t, uint64(1<<63-1), e.GetStreamRevision())
		assert.Equal(t, "s", string(e.GetStreamIdentifier().GetStreamName()))
		assert.Equal(t, "$streamDeleted", e.GetMetadata()["type"])
		assert.Equal(t, "application/octet-stream", e.GetMetadata()["content-type"])
		assert.Empty(t, e.GetData())
		assert.Equal(t, p, e.GetCommitPosition())
	})
}

func TestTheOfficialClientDeletes(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	s.stub(t).mustAppend("s", 2)
	c := s.client(t)
	_, err := c.DeleteStream(t.Context(), "s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(0)})
	require.ErrorContains(t, err, "Delete failed due to WrongExpectedVersion. Stream: s, Expected version: 0, Actual version: 1")
	r, err := c.DeleteStream(t.Context(), "s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)})
	require.NoError(t, err)
	assert.NotZero(t, r.Position.Commit)
	r, err = c.TombstoneStream(t.Context(), "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	assert.NotZero(t, r.Position.Commit)
	_, err = c.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "t"})
	var known *esdb.Error
	require.ErrorAs(t, err, &known)
	assert.Equal(t, esdb.ErrorCodeStreamDeleted, known.Code())
}
