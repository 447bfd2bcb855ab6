package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// known lists the settings of a connection string. The client ignores others,
// and with them a misspelt one.
var known = map[string]bool{
	"discoveryinterval": true, "gossiptimeout": true, "maxdiscoverattempts": true, "nodepreference": true,
	"keepaliveinterval": true, "keepalivetimeout": true, "tls": true, "tlsverifycert": true, "tlscafile": true,
	"usercertfile": true, "userkeyfile": true, "defaultdeadline": true,
}

// parse reads a connection string. The client's own errors may quote the whole
// string, so the password is taken out of them.
func parse(connection string, log *slog.Logger) (*esdb.Configuration, error) {
	// A question mark before the last @ is one of the password, unescaped.
	_, host, found := cutLast(connection, "@")
	if !found {
		host = connection
	}
	_, query, _ := strings.Cut(host, "?")
	settings, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("esdbstore: connection string: the settings after the question mark are not key=value pairs")
	}
	for k := range settings {
		if !known[strings.ToLower(k)] {
			return nil, fmt.Errorf("esdbstore: connection string: there is no setting %q", k)
		}
	}
	conf, err := esdb.ParseConnectionString(connection)
	if err == nil {
		err = conf.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("esdbstore: connection string: %s; want esdb://[user:password@]host:2113[?tls=false] or esdb+discover://host:2113", hide(connection, err))
	}
	if conf.GossipTimeout <= 0 {
		return nil, errors.New("esdbstore: connection string: gossipTimeout must be at least 1, in seconds")
	}
	if conf.DisableTLS && conf.Username != "" {
		log.Warn("esdbstore: the connection string has credentials and tls=false; they will not be sent")
	}
	return conf, nil
}

// hide returns the text of err without the secrets of the connection string.
func hide(connection string, err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL
	}
	text := err.Error()
	rest := connection
	if _, after, ok := strings.Cut(connection, "://"); ok {
		rest = after
	}
	if user, _, ok := cutLast(rest, "@"); ok {
		_, password, _ := strings.Cut(user, ":")
		for _, secret := range []string{user, password} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "***")
			}
		}
		if plain, err := url.PathUnescape(password); err == nil && plain != "" {
			text = strings.ReplaceAll(text, plain, "***")
		}
	}
	return text
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// logger returns what the client calls with its messages. It says there that a
// call has failed just before it makes up its mind to search for a node, in
// code that holds nothing. The panic takes the call out of there, so that the client
// never searches; [guard] and [receive] turn it into the error that it was.
func (s *supervisor) logger(g *generation) esdb.LoggingFunc {
	return func(level esdb.LogLevel, format string, args ...any) {
		if format == "unexpected exception: %v" && len(args) == 1 {
			if err, ok := args[0].(error); ok && status.Code(err) == codes.Unavailable {
				panic(escape{err})
			}
		}
		if s.log.Enabled(context.Background(), slog.LevelDebug) {
			s.log.Debug("the EventStoreDB client says", "text", fmt.Sprintf(format, args...), "level", level, "client", g.number)
		}
	}
}

// An escape takes an error out of the client.
type escape struct{ err error }

// recovered returns the error for what a recover gave.
func recovered(p any) error {
	if e, ok := p.(escape); ok {
		return e.err
	}
	return fmt.Errorf("%w: %v", errPanicked, p)
}
