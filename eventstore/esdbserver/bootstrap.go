package esdbserver

import (
	"context"
	"errors"

	"github.com/foldstream/foldstream/eventstore"
)

// bootstrap writes what a new EventStoreDB holds, in its order: harnesses and
// tools wait for these events. They have derived ids and expect no stream, so
// that an interrupted start is completed by the next.
func (s *Server) bootstrap(ctx context.Context) error {
	for _, err := range s.store.Read(ctx, "$users", eventstore.ReadOptions{Limit: 1}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			break
		}
		return err // nil when they are there
	}
	metadata := func(stream, data string) error {
		return s.system(ctx, eventstore.MetadataStream(stream), eventstore.TypeStreamMetadata, eventstore.ContentTypeJSON, data)
	}
	created := func(login, name, group string) error {
		return s.system(ctx, "$user-"+login, "$UserCreated", eventstore.ContentTypeJSON,
			`{"loginName":"`+login+`","fullName":"`+name+`","groups":["`+group+`"],"disabled":false}`)
	}
	const acl = `"$acl":{"$r":"$admins","$w":"$admins","$d":"$admins","$mr":"$admins","$mw":"$admins"}`
	return firstError(
		func() error { return metadata("$stats-foldstream", `{"$maxAge":86400,`+acl+`}`) },
		func() error { return metadata("$user-ops", `{`+acl+`}`) },
		func() error { return metadata("$user-admin", `{`+acl+`}`) },
		func() error { return metadata("$scavenges", `{"$maxAge":2592000}`) },
		func() error { return created("ops", "Event Store Operations", groupOps) },
		func() error { return created("admin", "Event Store Administrator", groupAdmins) },
		func() error { return s.system(ctx, "$users", "$User", eventstore.ContentTypeBinary, "ops", "admin") },
	)
}

func (s *Server) system(ctx context.Context, stream, typ, contentType string, data ...string) error {
	events := make([]eventstore.Event, len(data))
	for i, d := range data {
		events[i] = eventstore.Event{ID: eventstore.DeriveID("bootstrap", stream, d), Type: typ, ContentType: contentType, Data: []byte(d)}
	}
	_, err := s.store.Append(ctx, stream, eventstore.NoStream, events...)
	if errors.Is(err, eventstore.ErrConflict) {
		return nil // written by somebody, in another form
	}
	return err
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
