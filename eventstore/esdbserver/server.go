// Package esdbserver puts the gRPC protocol of EventStoreDB in front of any
// [eventstore.Store], so that the official clients of all languages, and
// package esdbstore, reach it.
package esdbserver

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Options configure a [Server]. The zero value is an insecure server, to which
// everyone is an administrator.
type Options struct {
	MaxAppendSize int           // bytes in one append; default eventstore.DefaultMaxAppendSize
	Advertise     string        // host:port that clients are told to dial; default the listener's address
	TLS           *tls.Config   // nil means plain text
	Users         []User        // nil means that everyone is an administrator
	StopTimeout   time.Duration // how long Serve waits for calls that it accepted; default 5 s
	Logger        *slog.Logger  // default slog.Default
}

// A Server answers EventStoreDB clients from a store.
type Server struct {
	store eventstore.Store
	opts  Options
	log   *slog.Logger
}
