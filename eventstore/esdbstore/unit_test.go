package esdbstore_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for connection, want := range map[string]string{
		"":                                     "scheme",
		"http://localhost":                     "scheme",
		"esdb://":                              "host",
		"esdb://localhost:port":                "port",
		"esdb://localhost/path":                "path",
		"esdb://localhost?tls=perhaps":         "tls",
		"esdb://localhost?nodePreference=best": "best",
		"esdb://localhost?gossipTimeout=0":     "gossipTimeout",
		"esdb://localhost?tlsCAFile=/does/not/exist":                     "/does/not/exist",
		"esdb://localhost?userCertFile=/x":                               "userKeyFile",
		"esdb://localhost?tsl=false":                                     "tsl",
		"esdb://admin:s3cr3t@local host":                                 "host",
		"esdb://admin:s3cr3t@a:1,b:x":                                    "port",
		"esdb://admin:s3cr3t%zz@localhost":                               "escape",
		"esdb://:s3cr3t@localhost":                                       "username",
		"esdb://admin:s3cr3t@localhost?maxDiscoverAttempts=many":         "maxDiscoverAttempts",
		"esdb+discover://admin:s3cr3t@localhost?keepAliveInterval=never": "keepAliveInterval",
	} {
		s, err := esdbstore.Open(connection, nil)
		require.Error(t, err, connection)
		assert.Nil(t, s)
		assert.Contains(t, err.Error(), want, connection)
		assert.Contains(t, err.Error(), "connection string", connection)
		assert.NotContains(t, err.Error(), "s3cr3t", connection)
	}
}

func TestOpenWarnsOfCredentialsThatAreNotSent(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s, err := esdbstore.Open("esdb://admin:s3cr3t@localhost?tls=false", &esdbstore.Options{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.Contains(t, out.String(), "will not be sent")
	assert.NotContains(t, out.String(), "s3cr3t")
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	t.Parallel()
	const lowest, highest = 50 * time.Millisecond, 2 * time.Second
	var total time.Duration
	for n := 1; n < 200; n++ {
		least, most := esdbstore.Backoff(lowest, highest, n, 0), esdbstore.Backoff(lowest, highest, n, 1)
		assert.Equal(t, most, 2*least, "jitter over half of it")
		assert.LessOrEqual(t, most, highest)
		if n <= 5 {
			assert.Equal(t, lowest<<(n-1), most)
		}
		if n >= 7 {
			assert.Equal(t, highest, most)
		}
		if total += most; total > 30*time.Second && n < 25 {
			assert.Greater(t, n, 10, "an outage of 30 s costs a subscriber few tries")
		}
	}
}

func TestFiltersThatTheServerTakes(t *testing.T) {
	t.Parallel()
	re := regexp.MustCompile
	for name, tt := range map[string]struct {
		filter  eventstore.Filter
		subject esdb.FilterType
		regex   string
		prefix  []string
	}{
		"types":         {eventstore.Filter{Types: []string{"a.b", "c"}, Categories: []string{"x"}}, esdb.EventFilterType, `^(a\.b|c)$`, nil},
		"categories":    {eventstore.Filter{Categories: []string{"or(der", "cart"}}, esdb.StreamFilterType, `^(or\(der|cart)(-|$)`, nil},
		"streams":       {eventstore.Filter{StreamPrefixes: []string{"a", "b"}, ExcludeSystem: true}, esdb.StreamFilterType, "", []string{"a", "b"}},
		"type prefixes": {eventstore.Filter{TypePrefixes: []string{"a."}}, esdb.EventFilterType, "", []string{"a."}},
		"type regexp":   {eventstore.Filter{TypeRegexp: re(`^a\.(b|c).*$`)}, esdb.EventFilterType, `^a\.(b|c).*$`, nil},
		"stream regexp": {eventstore.Filter{StreamRegexp: re(`-\d+$`), TypeRegexp: re(`(?i)x`)}, esdb.StreamFilterType, `-\d+$`, nil},
		"no system":     {eventstore.Filter{ExcludeSystem: true}, esdb.EventFilterType, `^[^\$].*`, nil},
	} {
		got := esdbstore.Pushed(tt.filter)
		require.NotNil(t, got, name)
		assert.Equal(t, esdb.SubscriptionFilter{Type: tt.subject, Regex: tt.regex, Prefixes: tt.prefix}, *got, name)
		if got.Regex != "" {
			re(got.Regex)
		}
	}
	assert.Nil(t, esdbstore.Pushed(eventstore.Filter{}))
	assert.Nil(t, esdbstore.Pushed(eventstore.Filter{StreamPrefixes: []string{""}}))
	assert.Nil(t, esdbstore.Pushed(eventstore.Filter{TypeRegexp: re(`^.$`)}))
}

func TestPortableExpressions(t *testing.T) {
	t.Parallel()
	for re, want := range map[string]bool{
		`^order-`: true, `a|b`: true, `[a-z]+\d{2,3}`: true, `^x.*y$`: true, `[^-]+-1`: true, `\$all`: true,
		"": false, `^.$`: false, `a.b`: false, `[^a]`: false, `\D`: false, `\bx`: false, `\pL`: false, `(?i)a`: false,
		`[[:alpha:]]`: false, `\Qa\E`: false, `ü+`: false, `[^\d]*`: false, `\x{10FFFF}`: false, `[a-z-[aeiou]]`: false, `a\z`: false,
	} {
		assert.Equal(t, want, esdbstore.Portable(re), re)
	}
}
