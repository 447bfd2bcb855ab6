package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// drainTime is how long accepted requests may take once the server has been
// told to stop. It is longer than any of them is allowed to take.
const drainTime = finishTime + 15*time.Second

// serve answers requests on an address until ctx is done, and then finishes
// those it has accepted. Nobody is let in before the views are level.
func serve(ctx context.Context, a *app, listen string, out, notes io.Writer) (err error) {
	stop := a.follow(ctx)
	defer func() { err = joinStop(err, stop) }()
	if err := a.waitLevel(ctx, notes); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it began
		}
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with -listen", err)
	}
	api := &api{commands: a.commands.bus, queries: a.queries, store: a.store, runner: a.runner, log: a.log}
	server := &http.Server{
		Handler:           api.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      finishTime + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	_, _ = fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	_, _ = fmt.Fprintln(notes, "stopping: finishing what was accepted")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("some requests were cut off: %w", err), server.Close())
	}
	return nil
}
