package command

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Level returns the level on which [Log] writes of the outcome: debug for what
// was done, info for what is its sender's affair, warn for a passing trouble,
// error for a fault in the program.
func (o Outcome) Level() slog.Level {
	switch o {
	case Done:
		return slog.LevelDebug
	case Refused, Invalid, Denied, Limited, Canceled:
		return slog.LevelInfo
	case Conflict, Unavailable, Uncertain, Late:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Log writes a line for each command, on the level of its outcome, see
// [Outcome.Level]. It tells the command's type, ids and what became of it, not
// what it says. A nil l discards.
func Log(l *slog.Logger) Middleware {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			start := time.Now()
			r, err := next(ctx, cmd)
			outcome := OutcomeOf(err)
			if level := outcome.Level(); l.Enabled(ctx, level) {
				l.LogAttrs(ctx, level, "command", attributes(ctx, route, outcome, r, err, time.Since(start))...)
			}
			return r, err
		}
	}
}

func attributes(ctx context.Context, route Route, outcome Outcome, r eventstore.Receipt, err error, took time.Duration) []slog.Attr {
	as := []slog.Attr{slog.String("command", route.Name), slog.String("outcome", outcome.String())}
	if o := eventstore.OriginFromContext(ctx); o != nil {
		if o.CommandID != "" {
			as = append(as, slog.String("id", o.CommandID))
		}
		if o.CorrelationID != "" {
			as = append(as, slog.String("correlation", o.CorrelationID))
		}
	}
	if err == nil {
		as = append(as, slog.String("stream", r.Stream), slog.Uint64("version", uint64(r.Version)), slog.Bool("repeated", r.Repeated))
	} else {
		as = append(as, slog.Any("error", err))
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		as = append(as, slog.String("stack", string(p.Stack)))
	}
	return append(as, slog.Duration("took", took))
}
