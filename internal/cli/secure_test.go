package cli_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/certtest"
)

func TestServeWithTLSAndUsers(t *testing.T) {
	t.Parallel()
	made := certtest.New(t)
	cert, key := made.CertFile, made.KeyFile
	s := serve(t, "--tls-cert", cert, "--tls-key", key, "--auth")
	require.Equal(t, "esdb://admin:changeit@"+s.addr, s.url)
	s.line(t)
	assert.Contains(t, s.line(t), "?tlsCAFile="+cert)

	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: made.Pool}}}
	defer web.CloseIdleConnections()
	code, _ := get(t, web, "https://"+s.addr+"/health/live")
	assert.Equal(t, http.StatusNoContent, code)
	code, _ = get(t, web, "https://"+s.addr+"/ping")
	assert.Equal(t, http.StatusOK, code)

	trusted := "?tlsCAFile=" + cert
	must(t, s.url+trusted, "append", "order-1", "-t", "x")
	must(t, s.url+"?tlsVerifyCert=false", "append", "$mine", "-t", "x")
	assert.Contains(t, must(t, s.url+trusted, "list"), `"order-1"`)

	anonymous := "esdb://" + s.addr + trusted
	must(t, anonymous, "read", "order-1")
	for _, c := range []struct{ url, want string }{
		{anonymous, "the connection string has no credentials; write esdb://user:password@host:port"},
		{"esdb://ops:changeit@" + s.addr + trusted, "this user has no right to it"},
		{"esdb://admin:wrong@" + s.addr + trusted, "the server does not accept this user and password"},
	} {
		got := run(t, c.url, "", "read", "$mine")
		assert.Equal(t, 1, got.code)
		assert.Contains(t, got.err, "access denied at esdb://")
		assert.Contains(t, got.err, c.want)
		assert.NotContains(t, got.err, "wrong")
		assert.NotContains(t, got.err, "changeit")
	}
	for url, want := range map[string]string{
		s.url:                             "For a certificate of your own add ?tlsCAFile=/path/of/cert.pem",
		"esdb://" + s.addr + "?tls=false": "does not answer",
	} {
		got := run(t, url, "", "--timeout", "0s", "read", "order-1")
		assert.Equal(t, 1, got.code)
		assert.Contains(t, got.err, want)
	}
	s.signal(t, syscall.SIGTERM)
	assert.Zero(t, s.end(t), s.notes)
}

func TestTLSForAServerWithout(t *testing.T) {
	t.Parallel()
	s := serve(t)
	got := run(t, "esdb://"+s.addr, "", "--timeout", "0s", "read", "order-1")
	assert.Contains(t, got.err, "It seems to speak without TLS: add ?tls=false")
}

func TestUsersOfAFile(t *testing.T) {
	t.Parallel()
	made := certtest.New(t)
	cert, key := made.CertFile, made.KeyFile
	users := filepath.Join(t.TempDir(), "users.json")
	write(t, users, `[{"login": "ada", "password": "s/cret", "groups": ["$admins"]}, {"login": "bob", "password": "x"}]`)
	s := serve(t, "--tls-cert", cert, "--tls-key", key, "--users", users)
	assert.Equal(t, "esdb://USER:PASSWORD@"+s.addr, s.url)
	must(t, "esdb://ada:s%2Fcret@"+s.addr+"?tlsVerifyCert=false", "read", "$all")
	assert.Contains(t, run(t, "esdb://bob:x@"+s.addr+"?tlsVerifyCert=false", "", "read", "$all").err, "access denied")
	assert.Contains(t, run(t, "esdb://admin:changeit@"+s.addr+"?tlsVerifyCert=false", "", "read", "$all").err, "access denied")
	s.kill(t)
	assert.NotContains(t, s.notes.String(), "WARN")
}

func TestUsersThatAreWrong(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users.json")
	for text, want := range map[string]string{
		``:                                  "EOF; want [{",
		`{}`:                                "cannot unmarshal object",
		`[]`:                                "it names nobody, so nobody could log in",
		`[{"login":"a","password":"b"}] []`: "there is something after the array",
		`[{"login":"a","pasword":"b"}]`:     `unknown field "pasword"`,
		`[{"password":"b"}]`:                "user 1 has no login",
		`[{"login":"a:b","password":"b"}]`:  `login "a:b" has a colon`,
		`[{"login":"a"}]`:                   `user "a" has no password`,
		`[{"login":"a","password":"b"},{"login":"a","password":"c"}]`: `login "a" is there twice`,
		`[{"login":"a","password":"b","groups":[""]}]`:                `user "a" has a group without a name`,
	} {
		write(t, users, text)
		p := start(t, "serve", "--listen", "127.0.0.1:0", "--users", users)
		assert.Equal(t, 1, p.end(t), text)
		assert.Contains(t, p.notes.String(), "foldstream: users file "+users+": ", text)
		assert.Contains(t, p.notes.String(), want, text)
	}
}

func TestServeWarnsOfWhatSurprises(t *testing.T) {
	t.Parallel()
	made := certtest.New(t)
	cert, key := made.CertFile, made.KeyFile
	users := filepath.Join(t.TempDir(), "users.json")
	write(t, users, `[{"login": "bob", "password": "x"}]`)
	require.NoError(t, os.Chmod(users, 0o644))
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, nil},
		{[]string{"--tls-cert", cert, "--tls-key", key}, nil},
		{[]string{"--auth"}, []string{"official clients send no credentials then"}},
		{[]string{"--users", users, "--tls-cert", cert, "--tls-key", key}, []string{"chmod 600", "nobody may read $all"}},
		{[]string{"--advertise", "example.org:2113", "--tls-cert", cert, "--tls-key", key}, []string{"the certificate is not for the address"}},
		{[]string{"--listen", "0.0.0.0:0"}, []string{"everybody who reaches this address", "give --advertise HOST:PORT"}},
		{[]string{"--listen", "0.0.0.0:0", "--auth", "--advertise", "127.0.0.1:1", "--tls-cert", cert, "--tls-key", key}, []string{"the password that everybody knows"}},
	} {
		s := serve(t, c.args...)
		s.kill(t)
		warnings := 0
		for line := range strings.Lines(s.notes.String()) {
			if strings.Contains(line, "level=WARN") {
				warnings++
			}
		}
		assert.Equal(t, len(c.want), warnings, "%v: %s", c.args, s.notes)
		for _, want := range c.want {
			assert.Contains(t, s.notes.String(), want)
		}
	}
}

// What stands for every address cannot be dialled, and is not told.
func TestServeSaysAnAddressThatCanBeDialled(t *testing.T) {
	t.Parallel()
	s := serve(t, "--listen", ":0")
	assert.Regexp(t, `^esdb://127\.0\.0\.1:\d+\?tls=false$`, s.url)
	must(t, s.url, "append", "a-1", "-t", "x")
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	must(t, "esdb+discover://127.0.0.1:"+port+"?tls=false", "read", "a-1")
	s = serve(t, "--advertise", "localhost:1")
	assert.Equal(t, "esdb://localhost:1?tls=false", s.url)
}
