package esdbserver

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

// serverVersion is the EventStoreDB whose protocol is spoken. Digits and dots
// only: clients parse it.
const serverVersion = "24.10.4"

// featuresServer says what can be called. It is the first that a client asks.
type featuresServer struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

// GetSupportedMethods implements the service ServerFeatures.
func (featuresServer) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	all := &serverfeatures.SupportedMethods{EventStoreServerVersion: serverVersion}
	add := func(service string, features []string, methods ...string) {
		for _, m := range methods {
			all.Methods = append(all.Methods, &serverfeatures.SupportedMethod{ServiceName: service, MethodName: m, Features: features})
		}
	}
	const streams = "event_store.client.streams.streams"
	add(streams, []string{"position", "events"}, "read")
	add(streams, []string{"deadline_duration"}, "batchappend")
	add(streams, nil, "append", "delete", "tombstone")
	add("event_store.client.persistent_subscriptions.persistentsubscriptions", []string{"stream", "all"},
		"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem")
	add("event_store.client.gossip.gossip", nil, "read")
	add("event_store.client.server_features.serverfeatures", nil, "getsupportedmethods")
	return all, nil
}

// gossipServer describes a cluster of this one node, its leader.
type gossipServer struct {
	gossip.UnimplementedGossipServer
	*Server
}

// Read implements the service Gossip.
func (g gossipServer) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port, err := net.SplitHostPort(g.opts.Advertise)
	if err != nil {
		return nil, fmt.Errorf("esdbserver: the advertised address %q is not host:port: %w", g.opts.Advertise, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("esdbserver: the advertised address %q has no port: %w", g.opts.Advertise, err)
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   wire.UUID(g.instance),
		TimeStamp:    time.Now().UnixNano() / 100,
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(n)},
	}}}, nil
}
