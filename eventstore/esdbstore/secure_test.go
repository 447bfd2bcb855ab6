package esdbstore_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/internal/certtest"
)

func TestTLSAndCredentials(t *testing.T) {
	t.Parallel()
	cert := certtest.New(t)
	ca, otherCA := cert.CertFile, certtest.New(t).CertFile
	srv := newServer(t, nil, &esdbserver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert.TLS}}, Users: esdbserver.DefaultUsers()})
	as := func(scheme, user, ca string) *esdbstore.Store {
		return open(t, scheme+"://"+user+srv.addr+"?tlsCAFile="+ca, &esdbstore.Options{RetryFor: -1})
	}
	ctx := soon(t)

	for _, scheme := range []string{"esdb", "esdb+discover"} {
		admin := as(scheme, "admin:changeit@", ca)
		_, err := admin.Append(ctx, "a-1", eventstore.Any, event("x"))
		require.NoError(t, err, scheme)
		head, err := admin.Head(ctx)
		require.NoError(t, err, scheme)
		assert.NotZero(t, head)
		require.NoError(t, admin.Group("a-1", scheme).Create(ctx, nil))
		_, err = admin.SetStreamMetadata(ctx, "secret-1", eventstore.Any, eventstore.StreamMetadata{ACL: &eventstore.ACL{Read: []string{"$admins"}, Write: []string{"$admins"}}})
		require.NoError(t, err)
	}

	nobody := as("esdb", "", ca)
	_, err := nobody.Append(ctx, "a-1", eventstore.Any, event("x"))
	require.NoError(t, err, "user streams are for all, also without the right to $all")
	_, err = nobody.Head(ctx)
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	_, err = nobody.Append(ctx, "secret-1", eventstore.Any, event("x"))
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	for _, err := range nobody.Read(ctx, "secret-1", eventstore.ReadOptions{}) {
		require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	}
	for _, err := range nobody.Subscribe(ctx, "secret-1", eventstore.SubscribeOptions{}) {
		require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	}
	for _, err := range nobody.SubscribeAll(ctx, eventstore.SubscribeAllOptions{}) {
		require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	}
	require.ErrorIs(t, nobody.Group("a-1", "mine").Create(ctx, nil), eventstore.ErrAccessDenied)
	seen := 0
	for m, err := range nobody.Subscribe(ctx, "a-1", eventstore.SubscribeOptions{}) {
		require.NoError(t, err)
		if m.Kind == eventstore.MessageCaughtUp {
			break
		}
		seen++
	}
	assert.Equal(t, 3, seen)

	wrong := as("esdb", "admin:wrong@", ca)
	_, err = wrong.Append(ctx, "a-1", eventstore.Any, event("x"))
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	assert.NotContains(t, err.Error(), "wrong")

	_, err = as("esdb", "", otherCA).Head(ctx)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	assert.Contains(t, err.Error(), "x509")
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	dead := newServer(t, nil, nil)
	dead.down()
	for _, connection := range []string{
		"esdb+discover://" + srv.addr + "?tls=false&nodePreference=follower",
		"esdb://" + dead.addr + "," + srv.addr + "?tls=false&gossipTimeout=1",
	} {
		s := open(t, connection, nil)
		_, err := s.Append(soon(t), "a-1", eventstore.Any, event("x"))
		require.NoError(t, err, connection)
	}
	assert.Equal(t, span(1, 2), versions(t, srv.store, "a-1"))
}
