package esdbserver_test

import (
	"log/slog"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Whatever a client sends, a request is read or refused, and what is read can
// be created, described and deleted.
func FuzzPersistentCreate(f *testing.F) {
	seed := func(o *persistent.CreateReq_Options) {
		b, err := proto.Marshal(&persistent.CreateReq{Options: o})
		require.NoError(f, err)
		f.Add(b)
	}
	name := &shared.StreamIdentifier{StreamName: []byte("s")}
	set := &persistent.CreateReq_Settings{HistoryBufferSize: 10, ReadBatchSize: 2, ConsumerStrategy: "Pinned"}
	seed(nil)
	seed(&persistent.CreateReq_Options{StreamIdentifier: name, GroupName: "g", Settings: set})
	seed(&persistent.CreateReq_Options{
		GroupName: "g", Settings: set,
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
			StreamIdentifier: name, RevisionOption: &persistent.CreateReq_StreamOptions_End{End: &shared.Empty{}},
		}},
	})
	seed(&persistent.CreateReq_Options{
		GroupName: "g", Settings: set,
		StreamOption: &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
			AllOption: &persistent.CreateReq_AllOptions_Position{Position: &persistent.CreateReq_Position{CommitPosition: 1}},
			FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{
				Filter: &persistent.CreateReq_AllOptions_FilterOptions_EventType{
					EventType: &persistent.CreateReq_AllOptions_FilterOptions_Expression{Regex: "^a"},
				},
			}},
		}},
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		var update persistent.UpdateReq
		if proto.Unmarshal(data, &update) == nil {
			_, _ = esdbserver.UpdateDefinition(update.GetOptions())
		}
		var acks persistent.ReadReq_Ack
		if proto.Unmarshal(data, &acks) == nil {
			esdbserver.ParseIDs(acks.GetIds())
		}
		var create persistent.CreateReq
		if proto.Unmarshal(data, &create) != nil {
			return
		}
		d, err := esdbserver.CreateDefinition(create.GetOptions())
		if err != nil {
			return
		}
		m := groups.New(memstore.New(nil), slog.New(slog.DiscardHandler))
		runGroups(t, m)
		if m.Create(t.Context(), d) != nil {
			return
		}
		i, err := m.Info(t.Context(), d.Stream, d.Group)
		require.NoError(t, err)
		require.Equal(t, d, i.Definition)
		require.NoError(t, m.Delete(t.Context(), d.Stream, d.Group))
	})
}

func runGroups(t *testing.T, m *groups.Manager) {
	t.Helper()
	done := make(chan error, 1)
	ctx := t.Context() // done before the cleanup
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() { require.NoError(t, <-done) })
}
