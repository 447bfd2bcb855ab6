// Command shop is a small shop that shows how foldstream is used: a cart, its
// checkout, and an order that is paid, shipped or cancelled, with three views
// in Redis. Package cart and package order decide; this package wires them.
// routes.go says who owns which command and who answers which query.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	redis.SetLogger(redisSilence{})
	os.Exit(run(ctx, os.Args[1:], streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, redisURL: os.Getenv("REDIS_URL"), esdbURL: os.Getenv("ESDB_URL"),
	}))
}
