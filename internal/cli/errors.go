package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
)

var errInterrupted = errors.New("interrupted")

// explain returns err in the words of the command line: one line that names
// the value and what to do about it.
func (s *serverFlags) explain(ctx context.Context, err error) error {
	var (
		conflict    *eventstore.ConflictError
		notFound    *eventstore.StreamNotFoundError
		deleted     *eventstore.StreamDeletedError
		tooLarge    *eventstore.TooLargeError
		invalid     *eventstore.InvalidError
		unavailable *eventstore.UnavailableError
		partly      *partlyError
		usage       *usageError
	)
	where := redact(s.Connection)
	switch {
	case errors.As(err, &partly):
		return reword(err, fmt.Sprintf("%v; %d events before that were appended, up to version %d", s.explain(ctx, partly.err), partly.events, partly.version))
	case err == nil, errors.As(err, &usage):
		return err
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return errInterrupted
	case errors.As(err, &conflict):
		return reword(err, describeConflict(conflict))
	case errors.As(err, &notFound):
		return reword(err, fmt.Sprintf("stream %q not found at %s; foldstream streams list shows what is there", notFound.Stream, where))
	case errors.As(err, &deleted):
		return reword(err, fmt.Sprintf("stream %q was deleted for ever; its name cannot be used again, use another one", deleted.Stream))
	case errors.As(err, &tooLarge):
		return reword(err, fmt.Sprintf("append of %d bytes to stream %q is over the limit of %d bytes; append fewer events at once, or let the server take more (foldstream serve --max-append-size)",
			tooLarge.Size, tooLarge.Stream, tooLarge.Limit))
	case errors.Is(err, eventstore.ErrAccessDenied):
		return reword(err, fmt.Sprintf("access denied at %s: %s", where, denied(s.Connection, err)))
	case errors.As(err, &unavailable) && unavailable.Uncertain:
		return reword(err, fmt.Sprintf("%s: uncertain whether it was written, the connection to %s was lost: %v; repeat it with the same --id and --expected, or read the stream",
			unavailable.Op, where, cause(unavailable.Err)))
	case errors.As(err, &unavailable):
		return reword(err, fmt.Sprintf("%s does not answer: %v; is it running, and is --connection right (also FOLDSTREAM_URL, ESDB_URL)?%s",
			where, cause(unavailable.Err), aboutTLS(unavailable)))
	case errors.As(err, &invalid):
		return reword(err, fmt.Sprintf("invalid %s %q: %s", invalid.What, invalid.Value, invalid.Remedy))
	}
	return reword(err, plain(err))
}

// A rewordedError has other words than its cause.
type rewordedError struct {
	text  string
	cause error
}

func reword(cause error, text string) error { return &rewordedError{text, cause} }

func (e *rewordedError) Error() string { return e.text }
func (e *rewordedError) Unwrap() error { return e.cause }

func describeConflict(c *eventstore.ConflictError) string {
	switch {
	case c.Actual == 0 && c.Expected < 0:
		return fmt.Sprintf("stream %q does not exist; foldstream streams list shows what is there", c.Stream)
	case c.Actual == 0:
		return fmt.Sprintf("stream %q does not exist, expected %s; give --expected none or any", c.Stream, c.Expected)
	case c.Expected == eventstore.NoStream:
		return fmt.Sprintf("stream %q exists already, it is at version %d; give --expected %d, exists or any", c.Stream, c.Actual, c.Actual)
	}
	return fmt.Sprintf("stream %q is at version %d, expected %s; read what is new in it, then give --expected %d", c.Stream, c.Actual, c.Expected, c.Actual)
}

// denied says what to do about a refusal.
func denied(connection string, err error) string {
	switch {
	case strings.Contains(strings.ToLower(connection), "tls=false"):
		return "clients send no credentials without TLS, so the server does not know you; use TLS"
	case !strings.Contains(connection, "@"):
		return "the connection string has no credentials; write esdb://user:password@host:port"
	case strings.Contains(err.Error(), "does not accept"):
		return "the server does not accept this user and password"
	}
	return "this user has no right to it; use another one, or change the access list of the stream"
}

// aboutTLS guesses at a mistake that is made often.
func aboutTLS(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return " It seems to speak without TLS: add ?tls=false"
	case strings.Contains(text, "x509:"):
		return " For a certificate of your own add ?tlsCAFile=/path/of/cert.pem, for none that counts ?tlsVerifyCert=false"
	}
	return ""
}

// plain returns the text of err without the names of packages.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"esdbstore: ", "eventstore: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// cause returns the last of what was put together on the way: gRPC and the
// client each say at length that something failed, and the reason at the end.
func cause(err error) string {
	text := plain(err)
	if i := strings.LastIndex(text, "desc = "); i >= 0 {
		text = text[i+len("desc = "):]
	}
	return strings.TrimPrefix(strings.Trim(text, `"`), "transport: ")
}

// redact returns a connection string without its password. Everything up to
// the last @ before the settings is credentials.
func redact(connection string) string {
	scheme, rest, ok := strings.Cut(connection, "://")
	if !ok {
		return "the given connection string"
	}
	authority, settings := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, settings = rest[:i], rest[i:]
	}
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, _, _ := strings.Cut(authority[:i], ":")
		authority = user + ":***" + authority[i:]
	} else if strings.Contains(settings, "@") {
		return scheme + "://***" // this may be the middle of a password
	}
	return scheme + "://" + authority + settings
}
