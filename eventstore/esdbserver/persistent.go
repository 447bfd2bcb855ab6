package esdbserver

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

// persistentServer answers calls about persistent subscriptions. Managing them
// is for $ops and $admins; who is logged in may look at them, and read them
// with the right to read the stream.
type persistentServer struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	*Server
	groups *groups.Manager
}

// newPersistentServer starts no goroutine; calls wait for run.
func newPersistentServer(s *Server) *persistentServer {
	return &persistentServer{Server: s, groups: groups.New(s.store, s.log)}
}

// run carries the groups until ctx is done or the server begins to stop.
func (s *persistentServer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.groups.Run(ctx)
	cancel()
	<-ended
	return err
}

// Create implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	if err := s.requireManager(ctx); err != nil {
		return nil, err
	}
	d, err := createDefinition(req.GetOptions())
	if err == nil {
		err = s.groups.Create(ctx, d)
	}
	if err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &persistent.CreateResp{}, nil
}

// Update implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) Update(ctx context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	if err := s.requireManager(ctx); err != nil {
		return nil, err
	}
	d, err := updateDefinition(req.GetOptions())
	if err == nil {
		err = s.groups.Update(ctx, d.Stream, d.Group, d.Settings)
	}
	if err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &persistent.UpdateResp{}, nil
}

// Delete implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	if err := s.requireManager(ctx); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	if err := s.groups.Delete(ctx, streamOf(o.GetStreamIdentifier(), o.GetAll()), o.GetGroupName()); err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &persistent.DeleteResp{}, nil
}

// ReplayParked implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	if err := s.requireManager(ctx); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	_, limited := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt)
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll())
	if err := s.groups.ReplayParked(ctx, stream, o.GetGroupName(), o.GetStopAt(), limited); err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &persistent.ReplayParkedResp{}, nil
}

// RestartSubsystem implements [persistent.PersistentSubscriptionsServer].
func (s *persistentServer) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if err := s.requireManager(ctx); err != nil {
		return nil, err
	}
	if err := s.groups.Restart(ctx); err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return &shared.Empty{}, nil
}
