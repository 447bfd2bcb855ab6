package esdbserver_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// putNumbers appends events whose data is their number from first on.
func putNumbers(t *testing.T, store eventstore.Store, stream string, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		e := eventstore.Event{Type: "t", ContentType: eventstore.ContentTypeJSON, Data: []byte(strconv.Itoa(i))}
		_, err := store.Append(t.Context(), stream, eventstore.Any, e)
		require.NoError(t, err)
	}
}

// createGroup creates the group g of a stream from its start.
func createGroup(t *testing.T, c *esdb.Client, stream string, with ...func(*esdb.PersistentSubscriptionSettings)) {
	t.Helper()
	set := esdb.SubscriptionSettingsDefault()
	for _, w := range with {
		w(&set)
	}
	opts := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &set}
	require.NoError(t, c.CreatePersistentSubscription(t.Context(), stream, "g", opts))
}

func joinGroup(t *testing.T, c *esdb.Client, stream string, buffer uint32) *esdb.PersistentSubscription {
	t.Helper()
	s, err := c.SubscribeToPersistentSubscription(t.Context(), stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// nextOf returns the next event of a consumer, which must come.
func nextOf(t *testing.T, s *esdb.PersistentSubscription) *esdb.EventAppeared {
	t.Helper()
	m := s.Recv()
	require.Nil(t, m.SubscriptionDropped)
	require.NotNil(t, m.EventAppeared)
	return m.EventAppeared
}

func numberOf(e *esdb.EventAppeared) string { return string(e.Event.Event.Data) }

func errorCode(t *testing.T, err error) esdb.ErrorCode {
	t.Helper()
	var e *esdb.Error
	require.ErrorAs(t, err, &e)
	return e.Code()
}

func TestPersistentConsume(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	meta := eventstore.NewMetadata("k", "v")
	e := eventstore.Event{ID: eventstore.NewID(), Type: "first", ContentType: eventstore.ContentTypeJSON, Data: []byte("0"), Metadata: meta}
	_, err := store.Append(t.Context(), "s", eventstore.Any, e)
	require.NoError(t, err)
	putNumbers(t, store, "s", 1, 2)
	createGroup(t, c, "s")
	s := joinGroup(t, c, "s", 2)

	got := nextOf(t, s)
	r := got.Event.Event
	assert.Equal(t, e.ID.String(), r.EventID.String())
	assert.Equal(t, "s", r.StreamID)
	assert.Equal(t, "first", r.EventType)
	assert.Equal(t, "application/json", r.ContentType)
	assert.JSONEq(t, `{"k":"v"}`, string(r.UserMetadata))
	assert.Zero(t, r.EventNumber)
	assert.WithinDuration(t, time.Now(), r.CreatedDate, time.Minute)
	assert.NotZero(t, r.Position.Commit)
	assert.Zero(t, got.RetryCount)
	assert.Equal(t, "1", numberOf(nextOf(t, s)))

	require.NoError(t, s.Ack(got.Event))
	third := nextOf(t, s)
	assert.Equal(t, "2", numberOf(third))
	require.NoError(t, s.Nack("again", esdb.NackActionRetry, third.Event))
	again := nextOf(t, s)
	assert.Equal(t, "2", numberOf(again))
	assert.Equal(t, 1, again.RetryCount)
}

func TestPersistentParkAndReplay(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	putNumbers(t, store, "s", 0, 3)
	createGroup(t, c, "s")
	s := joinGroup(t, c, "s", 1)
	require.NoError(t, s.Nack("bad", esdb.NackActionPark, nextOf(t, s).Event))
	skipped := nextOf(t, s)
	assert.Equal(t, "1", numberOf(skipped))
	require.NoError(t, s.Nack("", esdb.NackActionSkip, skipped.Event))
	require.NoError(t, s.Nack("bad", esdb.NackActionPark, nextOf(t, s).Event))
	parked := func() int64 {
		i, err := c.GetPersistentSubscriptionInfo(t.Context(), "s", "g", esdb.GetPersistentSubscriptionOptions{})
		require.NoError(t, err)
		return i.Stats.ParkedMessagesCount
	}
	require.Eventually(t, func() bool { return parked() == 2 }, 5*time.Second, time.Millisecond)

	require.NoError(t, c.ReplayParkedMessages(t.Context(), "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: 1}))
	first := nextOf(t, s)
	assert.Equal(t, "0", numberOf(first))
	assert.Equal(t, "$persistentsubscription-s::g-parked", first.Event.Link.StreamID)
	assert.Contains(t, string(first.Event.Link.UserMetadata), `"subscriptionEventNumber":0`)
	assert.Equal(t, int64(1), parked())
	require.NoError(t, c.ReplayParkedMessages(t.Context(), "s", "g", esdb.ReplayParkedMessagesOptions{}))
	require.NoError(t, s.Ack(first.Event))
	second := nextOf(t, s)
	assert.Equal(t, "2", numberOf(second))
	require.NoError(t, s.Ack(second.Event))
	require.Eventually(t, func() bool {
		m, _, err := store.StreamMetadata(t.Context(), "$persistentsubscription-s::g-parked")
		return err == nil && m.TruncateBefore == 3
	}, 5*time.Second, time.Millisecond)
}

func TestPersistentCompetingConsumers(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	createGroup(t, c, "s")
	type seen struct {
		consumer int
		revision uint64
	}
	got := make(chan seen)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 4 {
		s := joinGroup(t, c, "s", 5)
		go func() {
			for {
				m := s.Recv()
				if m.EventAppeared == nil || s.Ack(m.EventAppeared.Event) != nil {
					return
				}
				select {
				case got <- seen{i, m.EventAppeared.Event.Event.EventNumber}:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	const n = 400
	putNumbers(t, store, "s", 0, n)
	events, consumers := map[uint64]int{}, map[int]int{}
	for range n {
		one := <-got
		events[one.revision]++
		consumers[one.consumer]++
	}
	assert.Len(t, events, n)
	assert.Len(t, consumers, 4)
}

func TestPersistentPinned(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	set := esdb.SubscriptionSettingsDefault()
	set.ConsumerStrategyName = esdb.ConsumerStrategyPinned
	require.NoError(t, c.CreatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: &set,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"order-"}},
	}))
	type seen struct {
		consumer int
		stream   string
	}
	got := make(chan seen, 100)
	for i := range 2 {
		s, err := c.SubscribeToPersistentSubscriptionToAll(t.Context(), "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 100})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		go func() {
			for m := s.Recv(); m.EventAppeared != nil; m = s.Recv() {
				got <- seen{i, m.EventAppeared.Event.Event.StreamID}
			}
		}()
	}
	for stream := range 20 {
		putNumbers(t, store, "order-"+strconv.Itoa(stream), 0, 5)
	}
	owner := map[string]int{}
	consumers := map[int]int{}
	for range 100 {
		one := <-got
		if before, ok := owner[one.stream]; ok {
			assert.Equal(t, before, one.consumer, one.stream)
		}
		owner[one.stream] = one.consumer
		consumers[one.consumer]++
	}
	assert.Len(t, consumers, 2)
}

func TestPersistentToAll(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	putNumbers(t, store, "skip", 0, 1)
	putNumbers(t, store, "order-1", 1, 1)
	set := esdb.SubscriptionSettingsDefault()
	require.NoError(t, c.CreatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: &set,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "^order-[12]$"},
	}))
	s, err := c.SubscribeToPersistentSubscriptionToAll(t.Context(), "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	putNumbers(t, store, "order-3", 2, 1)
	putNumbers(t, store, "order-2", 3, 1)
	assert.Equal(t, "1", numberOf(nextOf(t, s)))
	last := nextOf(t, s)
	assert.Equal(t, "3", numberOf(last))

	i, err := c.GetPersistentSubscriptionInfoToAll(t.Context(), "g", esdb.GetPersistentSubscriptionOptions{})
	require.NoError(t, err)
	assert.Equal(t, "$all", i.EventSource)
	assert.Equal(t, esdb.Start{}, i.Settings.StartFrom)
	assert.Equal(t, last.Event.Event.Position.Commit, i.Stats.LastKnownPosition.Commit)
	require.NoError(t, c.UpdatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Position{Commit: 1, Prepare: 1}, Settings: &set,
	}))
	dropped := s.Recv().SubscriptionDropped
	require.NotNil(t, dropped)
	assert.Equal(t, codes.Canceled, status.Code(dropped.Error))
	assert.Contains(t, dropped.Error.Error(), "Subscription group g on stream $all was dropped.")
	beyond := esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Position{Commit: 1 << 40, Prepare: 1 << 40}, Settings: &set}
	err = c.CreatePersistentSubscriptionToAll(t.Context(), "beyond", beyond)
	require.ErrorContains(t, err, "Invalid Start From position")
	require.NoError(t, c.DeletePersistentSubscriptionToAll(t.Context(), "g", esdb.DeletePersistentSubscriptionOptions{}))
	err = c.DeletePersistentSubscriptionToAll(t.Context(), "g", esdb.DeletePersistentSubscriptionOptions{})
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, errorCode(t, err))
}

func TestPersistentManagement(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	ctx := t.Context()
	createGroup(t, c, "s", func(set *esdb.PersistentSubscriptionSettings) { set.MaxSubscriberCount = 1 })
	set := esdb.SubscriptionSettingsDefault()
	err := c.CreatePersistentSubscription(ctx, "s", "g", esdb.PersistentStreamSubscriptionOptions{Settings: &set})
	assert.Equal(t, esdb.ErrorCodeResourceAlreadyExists, errorCode(t, err))
	err = c.UpdatePersistentSubscription(ctx, "s", "none", esdb.PersistentStreamSubscriptionOptions{Settings: &set})
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, errorCode(t, err))
	_, err = c.SubscribeToPersistentSubscription(ctx, "s", "none", esdb.SubscribeToPersistentSubscriptionOptions{})
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, errorCode(t, err))
	err = c.ReplayParkedMessages(ctx, "s", "none", esdb.ReplayParkedMessagesOptions{})
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, errorCode(t, err))
	_, err = c.ListPersistentSubscriptionsForStream(ctx, "none", esdb.ListPersistentSubscriptionsOptions{})
	assert.Equal(t, esdb.ErrorCodeResourceNotFound, errorCode(t, err))
	bad := set
	bad.ReadBatchSize = bad.HistoryBufferSize
	err = c.CreatePersistentSubscription(ctx, "s", "bad", esdb.PersistentStreamSubscriptionOptions{Settings: &bad})
	require.ErrorContains(t, err, "Subscription group bad on stream s failed")

	s := joinGroup(t, c, "s", 7)
	_, err = c.SubscribeToPersistentSubscription(ctx, "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	require.ErrorContains(t, err, "Maximum subscriptions reached")

	i, err := c.GetPersistentSubscriptionInfo(ctx, "s", "g", esdb.GetPersistentSubscriptionOptions{})
	require.NoError(t, err)
	require.Len(t, i.Connections, 1)
	assert.Equal(t, "anonymous", i.Connections[0].Username)
	assert.Equal(t, int64(7), i.Connections[0].AvailableSlots)
	assert.Equal(t, set.MessageTimeout, i.Settings.MessageTimeout)
	assert.Equal(t, set.CheckpointAfter, i.Settings.CheckpointAfter)
	assert.Equal(t, esdb.ConsumerStrategyRoundRobin, i.Settings.ConsumerStrategyName)
	assert.Nil(t, i.Stats.LastKnownEventRevision)

	list, err := c.ListAllPersistentSubscriptions(ctx, esdb.ListPersistentSubscriptionsOptions{})
	require.NoError(t, err)
	assert.Len(t, list, 1)
	require.NoError(t, c.RestartPersistentSubscriptionSubsystem(ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{}))
	assert.NotNil(t, s.Recv().SubscriptionDropped)
	s = joinGroup(t, c, "s", 1)
	require.NoError(t, c.DeletePersistentSubscription(ctx, "s", "g", esdb.DeletePersistentSubscriptionOptions{}))
	assert.NotNil(t, s.Recv().SubscriptionDropped)
	list, err = c.ListAllPersistentSubscriptions(ctx, esdb.ListPersistentSubscriptionsOptions{})
	require.NoError(t, err)
	assert.Empty(t, list)
}

func TestPersistentErrorsHaveTrailers(t *testing.T) {
	t.Parallel()
	conn := serve(t, memstore.New(nil), nil).dial(t)
	var trailer metadata.MD
	stream := &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}}
	_, err := persistent.NewPersistentSubscriptionsClient(conn).Delete(t.Context(),
		&persistent.DeleteReq{Options: &persistent.DeleteReq_Options{GroupName: "g", StreamOption: stream}}, grpc.Trailer(&trailer))
	assert.Equal(t, codes.NotFound, status.Code(err))
	assert.Equal(t, []string{"persistent-subscription-does-not-exist"}, trailer.Get("exception"))
	assert.Equal(t, []string{"s"}, trailer.Get("stream-name"))
	assert.Equal(t, []string{"g"}, trailer.Get("group-name"))
}

// The Node client names the stream by deprecated fields, wants ids as text, and
// answers with them.
func TestPersistentAsNodeSpeaks(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	putNumbers(t, store, "s", 0, 2)
	c := persistent.NewPersistentSubscriptionsClient(serve(t, store, nil).dial(t))
	name := &shared.StreamIdentifier{StreamName: []byte("s")}
	_, err := c.Create(t.Context(), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		StreamIdentifier: name, GroupName: "g",
		Settings: &persistent.CreateReq_Settings{
			Revision: 1, ReadBatchSize: 20, HistoryBufferSize: 500, MaxRetryCount: 10,
			MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 300_000_000},
		},
	}})
	require.NoError(t, err)
	info, err := c.GetInfo(t.Context(), &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{
		GroupName: "g", StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: name},
	}})
	require.NoError(t, err)
	assert.Equal(t, "1", info.GetSubscriptionInfo().GetStartFrom())
	assert.Equal(t, "DispatchToSingle", info.GetSubscriptionInfo().GetNamedConsumerStrategy())
	assert.EqualValues(t, 30_000, info.GetSubscriptionInfo().GetMessageTimeoutMilliseconds())

	read, err := c.Read(t.Context())
	require.NoError(t, err)
	text := &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}}
	require.NoError(t, read.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: name},
		GroupName:    "g", BufferSize: 1, UuidOption: text,
	}}}))
	m, err := read.Recv()
	require.NoError(t, err)
	assert.Equal(t, "s::g", m.GetSubscriptionConfirmation().GetSubscriptionId())
	m, err = read.Recv()
	require.NoError(t, err)
	id := m.GetEvent().GetEvent().GetId()
	assert.NotEmpty(t, id.GetString_())
	assert.Equal(t, "1", string(m.GetEvent().GetEvent().GetData()))
	require.NoError(t, read.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{
		Ids: []*shared.UUID{id, {}}, Action: persistent.ReadReq_Nack_Retry,
	}}}))
	m, err = read.Recv()
	require.NoError(t, err)
	assert.EqualValues(t, 1, m.GetEvent().GetRetryCount())
	require.NoError(t, read.CloseSend())
	_, err = read.Recv()
	require.Error(t, err) // the call has ended, without an error
	assert.Equal(t, codes.Unknown, status.Code(err))
}

// Definitions, checkpoints and parked events outlive the server and the store.
func TestPersistentSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	putNumbers(t, store, "s", 0, 4)
	srv := serve(t, store, nil)
	c := srv.client(t)
	createGroup(t, c, "s", func(set *esdb.PersistentSubscriptionSettings) { set.CheckpointLowerBound = 1 })
	s := joinGroup(t, c, "s", 10)
	require.NoError(t, s.Ack(nextOf(t, s).Event))
	require.NoError(t, s.Nack("bad", esdb.NackActionPark, nextOf(t, s).Event))
	nextOf(t, s)
	require.Eventually(t, func() bool {
		i, err := c.GetPersistentSubscriptionInfo(t.Context(), "s", "g", esdb.GetPersistentSubscriptionOptions{})
		return err == nil && i.Stats.ParkedMessagesCount == 1
	}, 5*time.Second, time.Millisecond)
	srv.stop()
	dropped := s.Recv()
	for dropped.SubscriptionDropped == nil { // what was under way
		dropped = s.Recv()
	}
	assert.Equal(t, codes.Canceled, status.Code(dropped.SubscriptionDropped.Error))

	require.NoError(t, store.Close())
	store, err = logstore.Open(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	c = serve(t, store, nil).client(t)
	s = joinGroup(t, c, "s", 10)
	assert.Equal(t, "2", numberOf(nextOf(t, s)))
	assert.Equal(t, "3", numberOf(nextOf(t, s)))
	require.NoError(t, c.ReplayParkedMessages(t.Context(), "s", "g", esdb.ReplayParkedMessagesOptions{}))
	assert.Equal(t, "1", numberOf(nextOf(t, s)))
}

func TestPersistentLinksAndStatistics(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	c := serve(t, store, nil).client(t)
	putNumbers(t, store, "target", 0, 2)
	for _, link := range []string{"1@target", "9@target"} {
		_, err := store.Append(t.Context(), "s", eventstore.Any, eventstore.Event{Type: "$>", Data: []byte(link)})
		require.NoError(t, err)
	}
	createGroup(t, c, "s", func(set *esdb.PersistentSubscriptionSettings) { set.ResolveLinkTos, set.ExtraStatistics = true, true })
	s := joinGroup(t, c, "s", 1)
	resolved := nextOf(t, s)
	assert.Equal(t, "1", numberOf(resolved))
	assert.Equal(t, "target", resolved.Event.Event.StreamID)
	assert.Equal(t, "s", resolved.Event.OriginalEvent().StreamID)
	require.NoError(t, s.Ack(resolved.Event)) // by the id of the link
	broken := nextOf(t, s)
	assert.Nil(t, broken.Event.Event)
	assert.Equal(t, "9@target", string(broken.Event.Link.Data))
	require.NoError(t, s.Ack(broken.Event))

	var i *esdb.PersistentSubscriptionInfo
	require.Eventually(t, func() bool {
		var err error
		i, err = c.GetPersistentSubscriptionInfo(t.Context(), "s", "g", esdb.GetPersistentSubscriptionOptions{})
		return err == nil && i.Stats.TotalItems == 2
	}, 5*time.Second, time.Millisecond)
	require.Len(t, i.Connections, 1)
	assert.Len(t, i.Connections[0].ExtraStatistics, 14)
	assert.EqualValues(t, 1, *i.Stats.LastKnownEventRevision)
}

func TestPersistentRights(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	srv := serve(t, store, &esdbserver.Options{Users: []esdbserver.User{
		{Login: "admin", Password: "x", Groups: []string{"$admins"}},
		{Login: "ops", Password: "x", Groups: []string{"$ops"}},
		{Login: "joe", Password: "x"},
	}})
	_, err := store.SetStreamMetadata(t.Context(), "secret", eventstore.Any, eventstore.StreamMetadata{ACL: &eventstore.ACL{Read: []string{"$admins"}}})
	require.NoError(t, err)
	c := persistent.NewPersistentSubscriptionsClient(srv.dial(t))
	as := func(login string) context.Context {
		if login == "" {
			return t.Context()
		}
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", basic(login, "x"))
	}
	create := func(login, stream string) codes.Code {
		_, err := c.Create(as(login), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
			GroupName: "g", Settings: &persistent.CreateReq_Settings{HistoryBufferSize: 10},
			StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
				StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
			}},
		}})
		return status.Code(err)
	}
	list := func(login string) codes.Code {
		_, err := c.List(as(login), &persistent.ListReq{})
		return status.Code(err)
	}
	read := func(login, stream string) codes.Code {
		ctx, cancel := context.WithCancel(as(login))
		defer cancel()
		s, err := c.Read(ctx)
		require.NoError(t, err)
		require.NoError(t, s.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
			GroupName: "g", BufferSize: 1,
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}},
		}}}))
		_, err = s.Recv()
		return status.Code(err)
	}
	assert.Equal(t, codes.PermissionDenied, create("joe", "open"))
	assert.Equal(t, codes.PermissionDenied, create("", "open"))
	assert.Equal(t, codes.OK, create("ops", "open"))
	assert.Equal(t, codes.OK, create("admin", "secret"))
	assert.Equal(t, codes.PermissionDenied, list(""))
	assert.Equal(t, codes.OK, list("joe"))
	assert.Equal(t, codes.PermissionDenied, read("", "open"))
	assert.Equal(t, codes.OK, read("joe", "open"))
	assert.Equal(t, codes.PermissionDenied, read("joe", "secret"))
	assert.Equal(t, codes.OK, read("admin", "secret"))
}

// A consumer that reads nothing holds up neither the server nor the others.
func TestPersistentSlowConsumer(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	srv := serve(t, store, nil)
	c := srv.client(t)
	createGroup(t, c, "s")
	joinGroup(t, srv.client(t), "s", 100) // never reads
	fast := joinGroup(t, c, "s", 5)
	large := make([]byte, 64<<10)
	for range 200 {
		_, err := store.Append(t.Context(), "s", eventstore.Any, eventstore.Event{Type: "t", Data: large})
		require.NoError(t, err)
	}
	for range 100 {
		require.NoError(t, fast.Ack(nextOf(t, fast).Event))
	}
}

func TestPersistentServerStopsWithConsumers(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := serveOn(t, l, memstore.New(nil), &esdbserver.Options{StopTimeout: time.Hour})
	c := srv.client(t)
	createGroup(t, c, "s")
	s := joinGroup(t, c, "s", 1)
	srv.stop() // would take an hour if the consumer were not told
	assert.Equal(t, codes.Canceled, status.Code(s.Recv().SubscriptionDropped.Error))
}
