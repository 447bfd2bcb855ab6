// Command foldstream serves an event store to EventStoreDB clients and reads
// and writes streams of any EventStoreDB. Package cli does it; this package is
// the process around it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/foldstream/foldstream/internal/cli"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone, such as head, is an error of the write
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
