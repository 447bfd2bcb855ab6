package command

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Recover turns a panic of a handler into a [*PanicError], so that one bad
// command does not end the process.
func Recover() Middleware {
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (r eventstore.Receipt, err error) {
			defer func() {
				if p := recover(); p != nil {
					err = &PanicError{Command: route.Name, Value: p, Stack: debug.Stack()}
				}
			}()
			return next(ctx, cmd)
		}
	}
}

// Log writes a line for each command: on level debug when it was carried out,
// info when it failed.
func Log(l *slog.Logger) Middleware {
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			start := time.Now()
			r, err := next(ctx, cmd)
			if err != nil {
				l.InfoContext(ctx, "command failed", "command", route.Name, "error", err, "took", time.Since(start))
			} else {
				l.DebugContext(ctx, "command done", "command", route.Name, "stream", r.Stream, "version", r.Version, "repeated", r.Repeated, "took", time.Since(start))
			}
			return r, err
		}
	}
}

// Timeout gives each command at most d.
func Timeout(d time.Duration) Middleware {
	return func(_ Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return next(ctx, cmd)
		}
	}
}
