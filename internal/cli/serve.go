package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

type serveCommand struct {
	Listen        string        `default:"127.0.0.1:2113" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one (${default})."`
	Data          string        `xor:"store" placeholder:"DIR" help:"Directory of the events, made when it does not exist."`
	Memory        bool          `xor:"store" help:"Keep events in memory until the server ends, which is the default."`
	Sync          string        `enum:",always,interval,never" default:"" placeholder:"POLICY" help:"When what was written to --data is forced to the disk: always (before it is acknowledged, the default), interval (every 100 ms) or never."`
	ScavengeEvery time.Duration `placeholder:"DURATION" help:"Free the space of deleted and truncated events in --data this often, such as 24h; by default never."`
	TLSCert       string        `name:"tls-cert" and:"tls" type:"existingfile" placeholder:"FILE" help:"Certificate in PEM, with those that signed it."`
	TLSKey        string        `name:"tls-key" and:"tls" type:"existingfile" placeholder:"FILE" help:"Its private key in PEM."`
	Auth          bool          `help:"Ask for users: admin and ops, both with the password changeit, unless --users says others."`
	Users         string        `type:"existingfile" placeholder:"FILE" help:"JSON file of the users, which turns --auth on."`
	MaxAppendSize byteSize      `default:"1MiB" placeholder:"SIZE" help:"Largest append in bytes, or such as 512KiB; at most 16MiB (${default})."`
	Advertise     string        `placeholder:"HOST:PORT" help:"Address that clients are told to dial; by default the one listened on."`
	StopTimeout   time.Duration `default:"5s" help:"How long calls that were accepted may take once it is told to stop (${default})."`
	LogLevel      slog.Level    `default:"warn" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
}

// Help implements kong.HelpProvider.
func (*serveCommand) Help() string {
	return `Prints the connection string to use once it accepts clients. SIGTERM or Ctrl-C
stops it after it has answered what it accepted; a second one ends it at once.
The same port answers HTTP: /health/live and /ping.

Examples:

  foldstream serve
  foldstream serve --data ./events
  foldstream serve --data ./events --tls-cert cert.pem --tls-key key.pem --auth

A file of users:

  [{"login": "ada", "password": "secret", "groups": ["$admins"]}]`
}

// Validate implements kong's interface for that.
func (c *serveCommand) Validate() error {
	switch {
	case c.Sync != "" && c.Data == "":
		return errors.New("--sync says when --data is written; give --data DIR, or leave it out")
	case c.ScavengeEvery != 0 && c.Data == "":
		return errors.New("--scavenge-every is about --data; give --data DIR, or leave it out")
	case c.ScavengeEvery < 0:
		return fmt.Errorf("--scavenge-every %v must be above zero", c.ScavengeEvery)
	case c.StopTimeout <= 0:
		return fmt.Errorf("--stop-timeout %v must be above zero", c.StopTimeout)
	}
	for _, a := range []struct{ flag, value string }{{"--listen", c.Listen}, {"--advertise", c.Advertise}} {
		if _, _, err := net.SplitHostPort(a.value); err != nil && (a.value != "" || a.flag == "--listen") {
			return fmt.Errorf("%s %q is not an address such as 127.0.0.1:2113", a.flag, a.value)
		}
	}
	return nil
}

// Run serves until ctx is done.
func (c *serveCommand) Run(ctx context.Context, w *world) (err error) {
	log := slog.New(slog.NewTextHandler(w.err, &slog.HandlerOptions{Level: c.LogLevel}))
	opts := esdbserver.Options{MaxAppendSize: int(c.MaxAppendSize), Advertise: c.Advertise, StopTimeout: c.StopTimeout, Logger: log}
	cert, err := c.certificate()
	if err != nil {
		return err
	}
	if cert != nil {
		opts.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	if opts.Users, err = c.users(log); err != nil {
		return err
	}
	l, err := c.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // Serve has closed it, unless it was not reached
	defer saveMemory(w.getenv)()
	store, err := c.openStore(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var work sync.WaitGroup
	defer work.Wait() // before the store is closed
	serving, served := context.WithCancel(ctx)
	defer served()
	work.Go(func() { c.scavenge(serving, store, log) })
	debug.FreeOSMemory() // building the index of a large store leaves as much behind as it keeps

	p := c.place(l.Addr())
	opts.Advertise = p.advertise
	c.warn(log, p, cert, l.Addr())
	said := make(chan struct{})
	context.AfterFunc(ctx, func() {
		log.Info("stopping: answering what was accepted", "within", c.StopTimeout)
		close(said)
	})
	l = &announcing{Listener: l, accepting: func() { c.announce(w.out, p) }}
	if err := esdbserver.New(store, &opts).Serve(ctx, l); err != nil {
		return err
	}
	if ctx.Err() != nil {
		<-said // in this order
	}
	log.Info("stopped")
	return nil
}

func (c *serveCommand) listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another process listens on %s already, perhaps another foldstream serve; choose another address with --listen", c.Listen)
	case err != nil:
		return nil, fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	return l, nil
}

// openStore opens the store with room beyond the server's limit: it counts
// metadata twice, in its own form and as it was given.
func (c *serveCommand) openStore(log *slog.Logger) (eventstore.Store, error) {
	limit := 2*int(c.MaxAppendSize) + 64<<10
	if c.Data == "" {
		return memstore.New(&memstore.Options{MaxAppendSize: limit}), nil
	}
	policy := map[string]logstore.SyncPolicy{
		"": logstore.SyncAlways, "always": logstore.SyncAlways, "interval": logstore.SyncInterval, "never": logstore.SyncNever,
	}[c.Sync]
	store, err := logstore.Open(c.Data, &logstore.Options{Sync: policy, MaxAppendSize: limit, Logger: log})
	if errors.Is(err, eventstore.ErrUnavailable) {
		return nil, fmt.Errorf("data directory %s is in use by another process; stop that one, or choose another directory with --data", c.Data)
	}
	if invalid, ok := errors.AsType[*eventstore.InvalidError](err); ok {
		return nil, fmt.Errorf("data directory %s: %s", invalid.Value, invalid.Remedy)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// An announcing listener says when it is first asked for a connection: from
// then on clients are served.
type announcing struct {
	net.Listener

	once      sync.Once
	accepting func()
}

// Accept implements [net.Listener].
func (a *announcing) Accept() (net.Conn, error) {
	a.once.Do(a.accepting)
	return a.Listener.Accept()
}
