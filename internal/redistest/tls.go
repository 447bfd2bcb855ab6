package redistest

import (
	"crypto/tls"
	"testing"

	"github.com/foldstream/foldstream/internal/certtest"
	"github.com/foldstream/foldstream/internal/redisproc"
)

// StartTLS starts a server that speaks TLS only and wants a certificate of its
// clients, which those of the returned server have. The certificate is made for
// this one.
func StartTLS(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	cert := certtest.New(tb)
	files := &redisproc.TLS{Cert: cert.CertFile, Key: cert.KeyFile, CA: cert.CertFile}
	s := Start(tb, append(opts, func(o *redisproc.Options) { o.TLS = files })...)
	s.tls = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   "127.0.0.1",
		RootCAs:      cert.Pool,
		Certificates: []tls.Certificate{cert.TLS},
	}
	return s
}
