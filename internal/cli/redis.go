package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// quietRedis drops what the client prints of its own accord: its errors come
// back from the calls as well.
type quietRedis struct{}

// Printf prints nothing.
func (quietRedis) Printf(context.Context, string, ...any) {}

var silenceRedis = sync.OnceFunc(func() { redis.SetLogger(quietRedis{}) })

// open returns a client. It connects when it is used first.
func (p *projectionsCommand) open() (redis.UniversalClient, error) {
	silenceRedis()
	u, err := url.Parse(p.Redis)
	if err != nil {
		return nil, p.badURL(err)
	}
	secure, err := p.secure()
	if err != nil {
		return nil, err
	}
	switch {
	case p.Cluster:
		o, err := redis.ParseClusterURL(p.Redis)
		if err != nil {
			return nil, p.badURL(err)
		}
		o.DialTimeout, o.MaxRedirects = p.Timeout, 3
		secure(o.TLSConfig)
		return redis.NewClusterClient(o), nil
	case u.Query().Has("master_name"):
		o, err := redis.ParseFailoverURL(p.Redis)
		if err != nil {
			return nil, p.badURL(err)
		}
		o.DialTimeout, o.MaxRetries = p.Timeout, 1
		secure(o.TLSConfig)
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(p.Redis)
	if err != nil {
		return nil, p.badURL(err)
	}
	o.DialTimeout, o.MaxRetries = p.Timeout, 1
	secure(o.TLSConfig)
	return redis.NewClient(o), nil
}

func (p *projectionsCommand) badURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // the rest of it is the URL, with its password
	}
	return fmt.Errorf("%s is not the URL of a Redis: %w; write redis://host:6379/0 or rediss://user:password@host:6379", redact(p.Redis), err)
}

// secure returns what adds the certificates that were given to a configuration,
// nil without TLS.
func (p *projectionsCommand) secure() (func(*tls.Config), error) {
	if (p.TLSCert == "") != (p.TLSKey == "") {
		return nil, errors.New("--tls-cert and --tls-key belong together")
	}
	var roots *x509.CertPool
	if p.TLSCA != "" {
		data, err := os.ReadFile(p.TLSCA)
		if err != nil {
			return nil, err
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--tls-ca %s holds no certificate in PEM", p.TLSCA)
		}
	}
	var own []tls.Certificate
	if p.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(p.TLSCert, p.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", p.TLSCert, p.TLSKey, err)
		}
		own = []tls.Certificate{pair}
	}
	return func(c *tls.Config) {
		if c != nil {
			c.RootCAs, c.Certificates = roots, own // nil roots are the system's
		}
	}, nil
}

// packageName is what errors of packages begin with, also in the middle.
var packageName = regexp.MustCompile(`(^|: |; |\n)(?:projection|redisview): `)

// explain returns err in the words of the command line: one line that names the
// value and what to do about it.
func (p *projectionsCommand) explain(ctx context.Context, err error) error {
	where := redact(p.Redis)
	var network net.Error
	var usage *usageError
	text := ""
	if err != nil {
		text = packageName.ReplaceAllString(err.Error(), "$1")
	}
	switch {
	case err == nil, errors.As(err, &usage):
		return err
	case errors.Is(err, errInterrupted):
		return err
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return errInterrupted
	case errors.Is(err, projection.ErrNoView):
		return reword(err, fmt.Sprintf("%s at %s; if it should, is --prefix %q that of the application?", text, where, p.Prefix))
	case errors.Is(err, projection.ErrNotServed):
		return reword(err, text+"; start the application, or see foldstream projections list")
	case errors.Is(err, projection.ErrVersionActive):
		return reword(err, text+"; it is the one that is read: rebuild or roll back first")
	case strings.Contains(text, "NOAUTH"), strings.Contains(text, "WRONGPASS"):
		return reword(err, fmt.Sprintf("access denied at %s: it wants a user and a password, or others; write redis://user:password@host:6379", where))
	case strings.Contains(text, "NOPERM"):
		return reword(err, fmt.Sprintf("access denied at %s: %s; docs/projections.md lists the rights that are needed", where, text))
	case strings.Contains(text, "MOVED "), strings.Contains(text, "cluster support disabled"):
		return reword(err, fmt.Sprintf("%s at %s: give --cluster for a Redis Cluster, and only for one", text, where))
	case strings.Contains(text, "x509:"), strings.Contains(text, "certificate required"):
		return reword(err, fmt.Sprintf("no trust between here and %s: %s; see --tls-ca, --tls-cert and --tls-key", where, text))
	case errors.As(err, &network), errors.Is(err, redis.ErrClosed), strings.Contains(text, "connection refused"), strings.Contains(text, "EOF"):
		return reword(err, fmt.Sprintf("%s does not answer: %s; is it running, and is --redis right (also REDIS_URL)?", where, text))
	}
	return reword(err, text)
}
