package esdbserver_test

import (
	"context"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func testUsers() []esdbserver.User {
	return append(esdbserver.DefaultUsers(),
		esdbserver.User{Login: "ada", Password: "a", Groups: []string{"sales"}}, esdbserver.User{Login: "bob", Password: "b"})
}

// as returns a context with the credentials of a user; of none for "".
func as(ctx context.Context, login string) context.Context {
	passwords := map[string]string{"admin": "changeit", "ops": "changeit", "ada": "a", "bob": "b"}
	if login == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", basic(login, passwords[login]))
}

type acting struct {
	ctx context.Context
	t   *testing.T
	c   streams.StreamsClient
}

func (a acting) read(login, stream string) codes.Code {
	req := &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Count{Count: 1},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
	}}
	if stream == "$all" {
		req.Options.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}}
	}
	r, err := a.c.Read(as(a.ctx, login), req)
	require.NoError(a.t, err)
	for err == nil {
		_, err = r.Recv()
	}
	if err == io.EOF { //nolint:errorlint // as gRPC returns it
		return codes.OK
	}
	return status.Code(err)
}

func (a acting) write(login, stream string) codes.Code {
	s, err := a.c.Append(as(a.ctx, login))
	require.NoError(a.t, err)
	_ = s.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}})
	_ = s.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_String_{String_: eventstore.NewID().String()}},
		Metadata: map[string]string{"type": "x", "content-type": "application/json"}, Data: []byte("{}"),
	}}})
	_, err = s.CloseAndRecv()
	return status.Code(err)
}

func (a acting) remove(login, stream string) codes.Code {
	_, err := a.c.Delete(as(a.ctx, login), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
	}})
	return status.Code(err)
}

func TestAccessFollowsTheACLOfTheStream(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	s := serve(t, store, &esdbserver.Options{Users: testUsers()})
	a := acting{t.Context(), t, streams.NewStreamsClient(s.dial(t))}
	for _, stream := range []string{"open-1", "sales-1", "$mine"} {
		_, err := store.Append(t.Context(), stream, eventstore.Any, eventstore.Event{Type: "x"})
		require.NoError(t, err)
	}
	_, err := store.SetStreamMetadata(t.Context(), "sales-1", eventstore.Any, eventstore.StreamMetadata{
		ACL: &eventstore.ACL{Read: []string{"sales", "bob"}, Write: []string{"ada"}, Delete: []string{}, MetaRead: []string{"$all"}},
	})
	require.NoError(t, err)
	const ok, denied = codes.OK, codes.PermissionDenied
	for _, c := range []struct {
		what string
		got  codes.Code
		want codes.Code
	}{
		{"anonymous reads an open stream", a.read("", "open-1"), ok},
		{"anonymous writes an open stream", a.write("", "open-1"), ok},
		{"anonymous reads a system stream", a.read("", "$mine"), denied},
		{"anonymous reads all", a.read("", "$all"), denied},
		{"a user reads all", a.read("ada", "$all"), denied},
		{"an administrator reads all", a.read("admin", "$all"), ok},
		{"an administrator writes all", a.write("admin", "$all"), denied},
		{"a group reads", a.read("ada", "sales-1"), ok},
		{"a login reads", a.read("bob", "sales-1"), ok},
		{"another reads", a.read("ops", "sales-1"), denied},
		{"anonymous reads", a.read("", "sales-1"), denied},
		{"a login writes", a.write("ada", "sales-1"), ok},
		{"another writes", a.write("bob", "sales-1"), denied},
		{"nobody deletes", a.remove("ada", "sales-1"), denied},
		{"anonymous reads metadata", a.read("", "$$sales-1"), ok},
		{"metadata has its own write right, open here", a.write("bob", "$$sales-1"), ok},
		{"an administrator deletes", a.remove("admin", "open-1"), ok},
		{"wrong password", a.read("nobody", "open-1"), codes.Unauthenticated},
	} {
		assert.Equal(t, c.want, c.got, c.what)
	}
}

func TestSettingsReplaceTheDefaultACLs(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	s := serve(t, store, &esdbserver.Options{Users: testUsers()})
	a := acting{t.Context(), t, streams.NewStreamsClient(s.dial(t))}
	_, err := store.Append(t.Context(), "$settings", eventstore.Any, eventstore.Event{
		Type: "update-default-acl", ContentType: eventstore.ContentTypeJSON,
		Data: []byte(`{"$userStreamAcl":{"$w":"ada"},"$systemStreamAcl":{"$r":["bob","$admins"]}}`),
	})
	require.NoError(t, err)
	assert.Equal(t, codes.PermissionDenied, a.write("bob", "open-1"))
	assert.Equal(t, codes.OK, a.write("ada", "open-1"))
	assert.Equal(t, codes.OK, a.read("", "open-1"), "what is not said stays")
	assert.Equal(t, codes.OK, a.read("bob", "$all"))
	assert.Equal(t, codes.PermissionDenied, a.read("ada", "$all"))
}
