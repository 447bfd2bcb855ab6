package esdbserver_test

import (
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Of a metastream only the last event is read, with its true number.
func TestMetastreamsHaveOneEvent(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		for range 3 {
			c.setMetadata("s", `{}`)
		}
		last := only("$$s", 2)
		assert.Equal(t, last, c.shows(ofStream("$$s", atStart)))
		assert.Equal(t, last, c.shows(ofStream("$$s", 1)))
		assert.Equal(t, last, c.shows(ofStream("$$s", atEnd), backwards))
		assert.Empty(t, c.shows(ofStream("$$s", 1), backwards))
		assert.Equal(t, only("$$s", 0, 1, 2), c.shows(ofAll(9)), "all of them are in $all")
		assert.Equal(t, []string{"not found: s"}, c.shows(ofStream("s", atStart)), "metadata makes no stream")
		assert.Equal(t, []string{"not found: $$none"}, c.shows(ofStream("$$none", atStart)))
		assert.Equal(t, "wrong: 2", outcome(c.append("$$s", 1, proposal(eventstore.NewID(), "$metadata", `{}`))), "its revision is its own")
		assert.Equal(t, "3", c.revision("$$s", 2))
	})
}

func TestTheOfficialClientSetsMetadata(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	s.stub(t).mustAppend("s", 5)
	c := s.client(t)
	_, err := c.GetStreamMetadata(t.Context(), "s", esdb.ReadStreamOptions{})
	var known *esdb.Error
	require.ErrorAs(t, err, &known, "none yet")
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, known.Code())
	meta := esdb.StreamMetadata{}
	meta.SetMaxCount(3)
	meta.SetMaxAge(time.Hour)
	meta.SetTruncateBefore(3)
	meta.SetCacheControl(time.Minute)
	meta.AddCustomProperty("mine", "x")
	acl := esdb.Acl{}
	acl.AddReadRoles("ada")
	meta.SetAcl(acl)
	r, err := c.SetStreamMetadata(t.Context(), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, meta)
	require.NoError(t, err)
	assert.EqualValues(t, 0, r.NextExpectedVersion)
	got, err := c.GetStreamMetadata(t.Context(), "s", esdb.ReadStreamOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 3, *got.MaxCount())
	assert.Equal(t, time.Hour, *got.MaxAge())
	assert.EqualValues(t, 3, *got.TruncateBefore())
	assert.Equal(t, time.Minute, *got.CacheControl())
	assert.Equal(t, "x", got.CustomProperties()["mine"])
	roles, ok := got.Acl().(esdb.Acl)
	require.True(t, ok, "%T", got.Acl())
	assert.Equal(t, []string{"ada"}, roles.ReadRoles())
	assert.Equal(t, only("s", 3, 4), s.stub(t).shows(ofStream("s", atStart)))
}
