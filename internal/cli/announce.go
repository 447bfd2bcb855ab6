package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore/esdbserver"
)

// A place is where clients find the server.
type place struct {
	advertise string // host:port that the server tells
	host      string // of it
	anywhere  bool   // it listens on every address of the machine
}

// place returns what to tell clients of a server that listens on addr. An
// address that stands for all of them cannot be dialled.
func (c *serveCommand) place(addr net.Addr) place {
	p := place{advertise: c.Advertise}
	host, port, _ := net.SplitHostPort(addr.String()) // of a TCP listener it always can
	p.anywhere = net.ParseIP(host).IsUnspecified()
	switch {
	case p.advertise != "":
	case p.anywhere:
		p.advertise = net.JoinHostPort("127.0.0.1", port)
	case strings.Contains(host, ":") && net.ParseIP(host).IsLoopback():
		p.advertise = net.JoinHostPort("localhost", port) // the official client for Go does not read IPv6 addresses
	default:
		p.advertise = addr.String()
	}
	p.host, _, _ = net.SplitHostPort(p.advertise) // checked by Validate
	return p
}

// announce prints what users need to know.
func (c *serveCommand) announce(out io.Writer, p place) {
	authority, settings := p.advertise, "?tls=false"
	if c.TLSCert != "" {
		settings = ""
		switch {
		case c.Users != "":
			authority = "USER:PASSWORD@" + authority
		case c.Auth:
			u := esdbserver.DefaultUsers()[0]
			authority = u.Login + ":" + u.Password + "@" + authority
		}
	}
	data := "in memory: gone at exit"
	if c.Data != "" {
		data = c.Data
		if full, err := filepath.Abs(c.Data); err == nil {
			data = full
		}
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "connect to  esdb://%s%s\n", authority, settings)
	_, _ = fmt.Fprintf(&b, "events are  %s\n", data)
	if c.TLSCert != "" {
		cert := c.TLSCert
		if full, err := filepath.Abs(cert); err == nil {
			cert = full
		}
		_, _ = fmt.Fprintf(&b, "            if clients do not trust the certificate, add ?tlsCAFile=%s, or while developing ?tlsVerifyCert=false\n", cert)
	}
	_, _ = io.WriteString(out, b.String()) // a server goes on when nobody reads this
}

// warn says what is likely to surprise.
func (c *serveCommand) warn(log *slog.Logger, p place, cert *tls.Certificate, addr net.Addr) {
	asks, secure := c.Auth || c.Users != "", cert != nil
	host, _, _ := net.SplitHostPort(addr.String())
	if asks && !secure {
		log.Warn("--auth without TLS: official clients send no credentials then and stay anonymous; add --tls-cert and --tls-key")
	}
	if !asks && !net.ParseIP(host).IsLoopback() {
		log.Warn("everybody who reaches this address may read and write everything; add --auth, --tls-cert and --tls-key", "listen", addr)
	}
	if asks && c.Users == "" && !net.ParseIP(host).IsLoopback() {
		log.Warn("the users admin and ops have the password that everybody knows; give others with --users", "listen", addr)
	}
	if p.anywhere && c.Advertise == "" {
		log.Warn("clients that discover nodes are told an address that is good on this machine only; give --advertise HOST:PORT", "advertise", p.advertise)
	}
	if !secure || cert.Leaf == nil {
		return
	}
	if err := cert.Leaf.VerifyHostname(p.host); err != nil {
		log.Warn("the certificate is not for the address that clients dial; give --advertise HOST:PORT with a name that it has", "advertise", p.advertise, "err", err)
	}
	if now := time.Now(); now.After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
		log.Warn("the certificate is not valid today", "from", cert.Leaf.NotBefore, "to", cert.Leaf.NotAfter)
	}
}
