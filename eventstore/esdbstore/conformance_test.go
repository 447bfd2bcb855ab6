package esdbstore_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// The stores behind accept more than the server, because they count metadata
// in their own form.
const behind = 2 * eventstore.DefaultMaxAppendSize

func TestConformanceOverMemstore(t *testing.T) {
	t.Parallel()
	conform(t, func(*testing.T) eventstore.Store {
		return memstore.New(&memstore.Options{MaxAppendSize: behind})
	})
}

func TestConformanceOverLogstore(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) eventstore.Store {
		s, err := logstore.Open(t.TempDir(), &logstore.Options{MaxAppendSize: behind, Sync: logstore.SyncNever})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		return s
	})
}

func conform(t *testing.T, under func(*testing.T) eventstore.Store) {
	var servers sync.Map // by store
	eventstoretest.Suite{
		ContentTypes: true, // in the metadata
		Open: func(t *testing.T) eventstore.Store {
			srv := newServer(t, under(t), nil)
			s := srv.open(nil)
			servers.Store(s, srv)
			return s
		},
		Reopen: func(t *testing.T, s eventstore.Store) eventstore.Store {
			require.NoError(t, s.Close())
			srv, _ := servers.Load(s)
			return srv.(*server).open(nil)
		},
	}.Run(t)
}
