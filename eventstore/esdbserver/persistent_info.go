package esdbserver

import (
	"context"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

// GetInfo implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	if err := s.requireAuthenticated(ctx); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	i, err := s.groups.Info(ctx, streamOf(o.GetStreamIdentifier(), o.GetAll()), o.GetGroupName())
	if err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &persistent.GetInfoResp{SubscriptionInfo: infoMessage(&i)}, nil
}

// List implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	if err := s.requireAuthenticated(ctx); err != nil {
		return nil, err
	}
	stream := ""
	if one := req.GetOptions().GetListForStream(); one != nil {
		if stream = streamOf(one.GetStream(), one.GetAll()); stream == "" {
			return nil, s.groupFailed(ctx, &groups.NotFoundError{})
		}
	}
	list, err := s.groups.List(ctx, stream)
	if err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	resp := &persistent.ListResp{}
	for i := range list {
		resp.Subscriptions = append(resp.Subscriptions, infoMessage(&list[i]))
	}
	return resp, nil
}

func infoMessage(i *groups.Info) *persistent.SubscriptionInfo {
	m := &persistent.SubscriptionInfo{
		EventSource: i.Stream, GroupName: i.Group, Status: i.Status,
		AveragePerSecond: clamp(i.AveragePerSecond), TotalItems: i.Total, CountSinceLastMeasurement: i.SinceMeasured,
		LastCheckpointedEventPosition: i.PointText(i.LastCheckpoint),
		LastKnownEventPosition:        i.PointText(i.LastKnown),
		ResolveLinkTos:                i.ResolveLinkTos, StartFrom: i.StartText(),
		MessageTimeoutMilliseconds: millis(i.MessageTimeout), ExtraStatistics: i.ExtraStatistics,
		MaxRetryCount: clamp(i.MaxRetryCount), LiveBufferSize: clamp(i.LiveBufferSize),
		BufferSize: clamp(i.HistoryBufferSize), ReadBatchSize: clamp(i.ReadBatchSize),
		CheckPointAfterMilliseconds: millis(i.CheckpointAfter),
		MinCheckPointCount:          clamp(i.MinCheckpointCount), MaxCheckPointCount: clamp(i.MaxCheckpointCount),
		ReadBufferCount: clamp(i.ReadBuffer), LiveBufferCount: int64(i.LiveBuffer), RetryBufferCount: clamp(i.RetryBuffer),
		TotalInFlightMessages: clamp(i.InFlight), OutstandingMessagesCount: clamp(i.InFlight),
		NamedConsumerStrategy: i.Strategy, MaxSubscriberCount: clamp(i.MaxSubscriberCount),
		ParkedMessageCount: i.Parked,
	}
	for j := range i.Connections {
		m.Connections = append(m.Connections, connectionMessage(&i.Connections[j]))
	}
	return m
}

func connectionMessage(c *groups.Connection) *persistent.SubscriptionInfo_ConnectionInfo {
	m := &persistent.SubscriptionInfo_ConnectionInfo{
		From: c.From, Username: c.Username, ConnectionName: c.Connection,
		AverageItemsPerSecond: clamp(c.AveragePerSecond), TotalItems: c.Total, CountSinceLastMeasurement: c.SinceMeasured,
		AvailableSlots: clamp(c.Buffer - c.InFlight), InFlightMessages: clamp(c.InFlight),
	}
	for _, v := range c.Measurements {
		m.ObservedMeasurements = append(m.ObservedMeasurements, &persistent.SubscriptionInfo_Measurement{Key: v.Key, Value: v.Value})
	}
	return m
}

func millis(d time.Duration) int32 { return clamp(int(d.Milliseconds())) }

func clamp(n int) int32 { return int32(min(n, math.MaxInt32)) }
