// Package esdbserver puts the gRPC protocol of EventStoreDB in front of any
// [eventstore.Store], so that the official clients of all languages, and
// package esdbstore, reach it.
//
// It answers as EventStoreDB 24.10 does: streams, batch appends, catch-up and
// persistent subscriptions, stream metadata and access control, gossip as a
// cluster of one. Projections in JavaScript, users management and operations
// are answered as unimplemented. A position is the store's position, used as
// commit and as prepare position.
package esdbserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

// Options configure a [Server]. The zero value is an insecure server, to which
// everyone is an administrator.
type Options struct {
	MaxAppendSize int           // bytes in one append; default eventstore.DefaultMaxAppendSize
	Advertise     string        // host:port that clients are told to dial; default the listener's address
	TLS           *tls.Config   // nil means plain text
	Users         []User        // nil means that everyone is an administrator
	StopTimeout   time.Duration // how long Serve waits for calls that it accepted, and for clients to take what they are sent; default 5 s
	Logger        *slog.Logger  // default slog.Default
}

// maxMessage is the largest message taken from a client, as in EventStoreDB.
const maxMessage = 16 << 20

// streamWorkers is how many goroutines wait for calls; with more calls than
// that each has one of its own.
const streamWorkers = 64

// A Server answers EventStoreDB clients from a store.
type Server struct {
	store    eventstore.Store
	opts     Options
	log      *slog.Logger
	instance eventstore.ID // this node, in gossip
	users    map[string]*User
	served   sync.Once
	stopping chan struct{} // closed when Serve begins to stop: subscriptions end
}

// New returns a server of store, which stays the caller's to close. A nil opts
// means the defaults. What the store accepts in one append should be some more
// than Options.MaxAppendSize, because it counts metadata in its own form.
func New(store eventstore.Store, opts *Options) *Server {
	s := &Server{store: store, instance: eventstore.NewID(), stopping: make(chan struct{})}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxAppendSize <= 0 {
		s.opts.MaxAppendSize = eventstore.DefaultMaxAppendSize
	}
	if s.opts.StopTimeout <= 0 {
		s.opts.StopTimeout = 5 * time.Second
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.Default()
	}
	if s.opts.Users != nil {
		s.users = make(map[string]*User, len(s.opts.Users))
		for _, u := range s.opts.Users {
			s.users[u.Login] = &u
		}
	}
	return s
}

// ErrServed is what a second call of [Server.Serve] returns.
var ErrServed = errors.New("esdbserver: a server serves once; make a new one with New")

// Serve answers clients that connect to l until ctx is done; then it takes no
// more calls, answers those it has accepted for at most Options.StopTimeout,
// and returns nil. Subscriptions and consumers are told that they were
// cancelled. HTTP/1.1 on the same port answers /health/live and /ping. Serve
// closes l, leaves no goroutine behind, and can be called once.
//
// Before the first client it writes the system events that a new EventStoreDB
// has, unless they are there.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	err := ErrServed
	s.served.Do(func() { err = s.serve(ctx, l) })
	return err
}

func (s *Server) serve(ctx context.Context, l net.Listener) error {
	defer func() { _ = l.Close() }()
	if err := s.bootstrap(ctx); ctx.Err() != nil {
		return nil // told to stop before it began
	} else if err != nil {
		return fmt.Errorf("esdbserver: write the first system events: %w", err)
	}
	if s.opts.Advertise == "" {
		s.opts.Advertise = l.Addr().String()
	}
	groups := newPersistentServer(s)
	rpc := s.newGRPC(groups)
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	fail := make(chan error, 4)
	start := func(name string, run func() error) {
		all.Go(func() {
			defer cancel()
			if err := run(); err != nil {
				fail <- fmt.Errorf("esdbserver: %s: %w", name, err)
			}
		})
	}
	m := newMux(l, s.opts.TLS)
	web := s.newHTTP()
	engine, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	start("persistent subscriptions", func() error { return groups.run(engine) })
	start("gRPC", func() error { return ignoreClosed(rpc.Serve(m.rpc)) })
	start("HTTP", func() error { return ignoreClosed(web.Serve(m.web)) })
	start("listener", func() error { return m.run(ctx) })

	<-ctx.Done()
	close(s.stopping)
	m.stopAccepting()
	s.stopGRPC(rpc)
	_ = web.Close()
	stopEngine()
	m.close()
	all.Wait()
	cancel()
	select {
	case err := <-fail:
		return err
	default:
		return nil
	}
}

func (s *Server) newGRPC(groups persistent.PersistentSubscriptionsServer) *grpc.Server {
	rpc := grpc.NewServer(
		grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.MaxRecvMsgSize(maxMessage),
		// The official clients ping every 10 s, with or without calls.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		// The stack of a goroutine that is kept has grown already.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	streams.RegisterStreamsServer(rpc, newStreamsServer(s))
	persistent.RegisterPersistentSubscriptionsServer(rpc, groups)
	gossip.RegisterGossipServer(rpc, gossipServer{Server: s})
	serverfeatures.RegisterServerFeaturesServer(rpc, featuresServer{})
	projections.RegisterProjectionsServer(rpc, projections.UnimplementedProjectionsServer{})
	return rpc
}

// stopGRPC lets the calls that were accepted end, but not for ever.
func (s *Server) stopGRPC(rpc *grpc.Server) {
	late := time.AfterFunc(s.opts.StopTimeout, rpc.Stop)
	defer late.Stop()
	rpc.GracefulStop()
}
