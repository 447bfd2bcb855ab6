package cli_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/cli"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// projections carries out a command without an application.
func projections(t *testing.T, args ...string) result {
	t.Helper()
	var out, notes bytes.Buffer
	code := cli.Run(t.Context(), append([]string{"projections"}, args...), strings.NewReader(""), &out, &notes)
	return result{code, out.String(), notes.String()}
}

func TestWhatIsNotThereIsSaidOfProjections(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.fill(t, 2)
	for _, args := range [][]string{
		{"show", "nope"}, {"rebuild", "nope"}, {"rebuild", "nope", "--cancel"}, {"rebuild", "nope", "--detach"}, {"rebuild", "nope", "--stream", "order-1"},
		{"pause", "nope"}, {"resume", "nope"}, {"skip", "nope", "1", "-y"}, {"rollback", "nope"}, {"drop-version", "nope", "1", "-y"},
		{"parked", "list", "nope"}, {"parked", "show", "nope", "order-1"}, {"parked", "retry", "nope", "order-1"}, {"parked", "retry", "nope", "--all"}, {"parked", "drop", "nope", "order-1", "-y"},
		{"rebuild", "nope", "--key", "1"},
	} {
		got := a.run(t.Context(), args...)
		oneLine(t, 1, `no such projection: "nope"; the view store has ["orders"] at `+a.url+`; if it should, is --prefix "shop:" that of the application?`, got)
	}
	oneLine(t, 1, `cancel the rebuild of view "orders": not running: no application is at one`, a.run(t.Context(), "rebuild", "orders", "--cancel"))
	a.stop()
	a.state(t, "not followed")
	oneLine(t, 1, `rebuild of view "orders": request not served: no application that follows it is running; start the application, or see foldstream projections list`, a.run(t.Context(), "rebuild", "orders"))
	got := projections(t, "-r", a.url, "-o", "table", "list")
	assert.Equal(t, result{0, "", "no views at " + a.url + " with prefix \"\"\n"}, got)
}

func TestWrongCallsOfProjections(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"add --yes if that is meant":                       {"skip", "orders", "7"},
		"version 7 of view \"orders\" would be gone":       {"drop-version", "orders", "7"},
		"would lack the first parked event":                {"parked", "drop", "orders", "order-1"},
		"name streams of view \"orders\", or give --all":   {"parked", "retry", "orders"},
		"--key and --cancel can't be used together":        {"rebuild", "orders", "--key", "1", "--cancel"},
		"redis://u:***@h:x is not the URL of a Redis":      {"list", "-r", "redis://u:secret@h:x"},
		"http://u:***@h is not the URL of a Redis":         {"list", "-r", "http://u:secret@h"},
		"redis://:***@h:1?nope=1 is not the URL":           {"list", "-r", "redis://:secret@h:1?nope=1"},
		"the given connection string is not the URL":       {"list", "-r", "secret"},
		"redis://u:***@h:1?max_retries=x is not the URL":   {"list", "--cluster", "-r", "redis://u:secret@h:1?max_retries=x"},
		"redis://u:***@h:1?master_name=m&db=x is not the ": {"list", "-r", "redis://u:secret@h:1?master_name=m&db=x"},
	} {
		got := projections(t, args...)
		assert.Equal(t, 2, got.code, want)
		assert.Contains(t, got.err, want)
		assert.NotContains(t, got.err, "secret")
		assert.Contains(t, got.err, "try: foldstream projections ")
	}
}

func TestARedisThatIsAwayOrRefuses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	away := "redis://:secret@" + l.Addr().String()
	require.NoError(t, l.Close())
	got := projections(t, "-r", away, "list")
	assert.Equal(t, 1, got.code)
	assert.Regexp(t, `^foldstream: redis://:\*\*\*@127.0.0.1:\d+ does not answer: .*connection refused; is it running, and is --redis right \(also REDIS_URL\)\?\n$`, got.err)

	locked := redistest.Start(t)
	admin := locked.Client(t)
	require.NoError(t, admin.ConfigSet(t.Context(), "requirepass", "open sesame").Err())
	want := "access denied at redis://" + locked.Addr() + ": it wants a user and a password, or others; write redis://user:password@host:6379"
	oneLine(t, 1, want, projections(t, "-r", "redis://"+locked.Addr(), "list"))
	got = projections(t, "-r", "redis://:wrong@"+locked.Addr(), "list")
	assert.Contains(t, got.err, "access denied at redis://:***@")
	got = projections(t, "-r", "redis://:open%20sesame@"+locked.Addr(), "list")
	assert.Equal(t, 0, got.code, got.err)
}

// seedView makes a view that nobody follows.
func seedView(t *testing.T, store *redisview.Store) {
	t.Helper()
	require.NoError(t, store.CreateVersion(t.Context(), "orders", projection.VersionInfo{Number: 1, Partitions: 4, Definition: 1}))
	require.NoError(t, store.Activate(t.Context(), "orders", 1))
}

func TestViewsInAClusterWithSentinelsAndOverTLS(t *testing.T) {
	t.Parallel()
	shows := func(t *testing.T, args ...string) {
		t.Helper()
		got := projections(t, append(args, "-o", "table", "show", "orders")...)
		require.Equal(t, 0, got.code, got.err)
		assert.Equal(t, []string{"state", "not", "followed"}, columns(t, got.out, "state"))
	}
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.StartClusterNodes(t, 3)
		seedView(t, redisview.New(cluster.Client(t), nil))
		addrs := cluster.Addrs()
		shows(t, "-r", "redis://"+addrs[0]+"?addr="+addrs[1], "--cluster")
		got := projections(t, "-r", "redis://"+addrs[0], "show", "orders")
		assert.Equal(t, 1, got.code)
	})
	t.Run("Sentinels", func(t *testing.T) {
		t.Parallel()
		master := redistest.Start(t)
		redistest.StartReplica(t, master) // Sentinels want one
		seedView(t, redisview.New(master.Client(t), nil))
		sentinels := redistest.StartSentinels(t, 1, master)
		shows(t, "-r", "redis://"+sentinels.Addrs()[0]+"?master_name="+sentinels.Options().MasterName)
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		server := redistest.StartTLS(t)
		seedView(t, redisview.New(server.Client(t), nil))
		ca, cert, key := certificates(t, server)
		shows(t, "-r", "rediss://"+server.Addr(), "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key)
		for _, args := range [][]string{{}, {"--tls-ca", ca}} {
			got := projections(t, append(args, "-r", "rediss://"+server.Addr(), "show", "orders")...)
			assert.Equal(t, 1, got.code)
			assert.Contains(t, got.err, "see --tls-ca, --tls-cert and --tls-key")
		}
		write(t, ca, "no certificate")
		for want, args := range map[string][]string{
			"holds no certificate in PEM": {"--tls-ca", ca}, "failed to find any PEM data": {"--tls-cert", ca, "--tls-key", key}, "belong together": {"--tls-key", key},
		} {
			got := projections(t, append(args, "list")...)
			assert.Equal(t, 2, got.code)
			assert.Contains(t, got.err, want)
		}
	})
	t.Run("Rights", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		seedView(t, redisview.New(server.Client(t), &redisview.Options{Prefix: "shop:"}))
		require.NoError(t, server.Client(t).Do(t.Context(), "ACL", "SETUSER", "eve", "on", ">pw", "~other:*", "+@all").Err())
		got := projections(t, "-r", "redis://eve:pw@"+server.Addr(), "-p", "shop:", "show", "orders")
		assert.Equal(t, 1, got.code)
		assert.Contains(t, got.err, "docs/projections.md lists the rights that are needed")
		assert.NotContains(t, got.err, "pw")
	})
}

// certificates writes what a client of a server has to have.
func certificates(t *testing.T, server *redistest.Server) (ca, cert, key string) {
	t.Helper()
	c := server.Options().TLSConfig
	conn, err := tls.Dial("tcp", server.Addr(), c)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	chain := conn.ConnectionState().VerifiedChains[0]
	secret, err := x509.MarshalPKCS8PrivateKey(c.Certificates[0].PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	ca, cert, key = dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem"
	for file, block := range map[string]*pem.Block{
		ca:   {Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw},
		cert: {Type: "CERTIFICATE", Bytes: c.Certificates[0].Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		write(t, file, string(pem.EncodeToMemory(block)))
	}
	return ca, cert, key
}
