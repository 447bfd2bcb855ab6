package esdbstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/internal/proxytest"
)

// A proxy stands between client and server and spoils the connection.
type proxy struct {
	*proxytest.Proxy
	t *testing.T
}

func newProxy(s *server) *proxy {
	s.t.Helper()
	return &proxy{proxytest.Start(s.t, s.addr), s.t}
}

func (p *proxy) open(opts *esdbstore.Options) *esdbstore.Store {
	p.t.Helper()
	return open(p.t, "esdb://"+p.Addr()+"?tls=false&discoveryInterval=10", opts)
}

// settled waits until what a proxy or a client does has ended.
func settled(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}
