package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// defaultRedis is where a Redis listens unless told otherwise.
const defaultRedis = "redis://127.0.0.1:6379/0"

// A projectionsCommand is what its subcommands share.
type projectionsCommand struct {
	outputFlags

	Redis   string        `short:"r" placeholder:"URL" help:"The Redis of the views; by default REDIS_URL of the environment, else redis://127.0.0.1:6379/0."`
	Prefix  string        `short:"p" placeholder:"TEXT" help:"Prefix of the keys, as the application gives it in redisview.Options."`
	Cluster bool          `help:"The Redis is a cluster; more nodes are given as ?addr=HOST:PORT&addr=…"`
	TLSCA   string        `name:"tls-ca" type:"existingfile" placeholder:"FILE" help:"Trust this certificate authority instead of the system's, for rediss://."`
	TLSCert string        `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"Own certificate, for a Redis that asks for one."`
	TLSKey  string        `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"Key of --tls-cert."`
	Timeout time.Duration `default:"5s" help:"How long Redis may take to be reached (${default})."`

	List        viewsCommand       `cmd:"" help:"List the views and how they are."`
	Show        viewCommand        `cmd:"" help:"Show a view: versions, partitions, who works at it."`
	Rebuild     rebuildCommand     `cmd:"" help:"Have a running application rebuild a view, or some keys of it."`
	Pause       pauseCommand       `cmd:"" help:"Stop following a view, everywhere, until it is resumed."`
	Resume      resumeCommand      `cmd:"" help:"Follow a paused view again."`
	Skip        skipCommand        `cmd:"" help:"Never apply the events up to a position to a view."`
	Rollback    rollbackCommand    `cmd:"" help:"Read the version before the active one again."`
	DropVersion dropVersionCommand `cmd:"" help:"Remove a version that is not read."`
	Parked      parkedCommand      `cmd:"" help:"List, show, retry and drop parked events."`
}

// Help implements kong.HelpProvider.
func (*projectionsCommand) Help() string {
	return `Works on the views of running applications, through the Redis of the views
alone: what needs the events is asked of an application that follows the view.

A Redis is given as go-redis has it:

  redis://127.0.0.1:6379/0
  rediss://user:password@host:6379            with TLS, see --tls-ca
  redis://n1:6379?addr=n2:6379 --cluster      a Redis Cluster
  redis://s1:26379?addr=s2:26379&master_name=m Sentinels

A password on the command line can be seen by others of this machine; set
REDIS_URL instead.`
}

// with opens the view store, does something with it and closes it.
func (p *projectionsCommand) with(ctx context.Context, w *world, do func(*projection.Admin) error) error {
	p.Redis = cmp.Or(p.Redis, w.getenv("REDIS_URL"), defaultRedis)
	rdb, err := p.open()
	if err != nil {
		return &usageError{err: err}
	}
	defer func() { _ = rdb.Close() }() // nothing is buffered
	return p.explain(ctx, do(projection.NewAdmin(redisview.New(rdb, &redisview.Options{Prefix: p.Prefix}))))
}

// A viewArg names a view.
type viewArg struct {
	View string `arg:"" help:"Name of the view."`
}
