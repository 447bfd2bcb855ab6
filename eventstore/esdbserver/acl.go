package esdbserver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
)

// An operation is what an ACL grants.
type operation uint8

const (
	opRead operation = iota
	opWrite
	opDelete
	opMetaRead
	opMetaWrite
)

const allStream = "$all"

// authorize returns the status access-denied when the caller may not do op
// with a stream, or with $all.
func (s *Server) authorize(ctx context.Context, op operation, stream string) error {
	ok, err := s.allowed(ctx, op, stream)
	if err != nil {
		return s.failed(ctx, err)
	}
	if !ok {
		return accessDenied(ctx)
	}
	return nil
}

// allowed reports whether the caller may do op with a stream. What is read or
// written in a metastream is the metadata of its stream.
func (s *Server) allowed(ctx context.Context, op operation, stream string) (bool, error) {
	if (op == opWrite || op == opDelete) && stream == allStream {
		return false, nil
	}
	p := principalOf(ctx)
	if p.admin() {
		return true, nil
	}
	if orig, isMeta := strings.CutPrefix(stream, "$$"); isMeta {
		stream = orig
		if op == opRead {
			op = opMetaRead
		} else {
			op = opMetaWrite
		}
	}
	roles, err := s.roles(ctx, op, stream)
	return err == nil && p.hasRole(roles), err
}

// roles returns who may do op with a stream: by its own ACL, else by the
// defaults of $settings, else everyone for a user's stream and administrators
// for a system stream.
func (s *Server) roles(ctx context.Context, op operation, stream string) ([]string, error) {
	if stream != allStream {
		m, _, err := s.store.StreamMetadata(ctx, stream)
		switch {
		case errors.Is(err, eventstore.ErrStreamDeleted), errors.Is(err, eventstore.ErrInvalid):
			// The operation itself says so.
		case err != nil:
			return nil, err
		case m.ACL != nil && granted(m.ACL, op) != nil:
			return granted(m.ACL, op), nil
		}
	}
	user, system, err := s.defaultACLs(ctx)
	if err != nil {
		return nil, err
	}
	acl, roles := user, []string{everyone}
	if eventstore.IsSystemStream(stream) {
		acl, roles = system, []string{groupAdmins}
	}
	if acl != nil && granted(acl, op) != nil {
		roles = granted(acl, op)
	}
	return roles, nil
}

func granted(a *eventstore.ACL, op operation) []string {
	return [...][]string{opRead: a.Read, opWrite: a.Write, opDelete: a.Delete, opMetaRead: a.MetaRead, opMetaWrite: a.MetaWrite}[op]
}

// defaultACLs returns what the last event of $settings says: an object with
// $userStreamAcl and $systemStreamAcl.
func (s *Server) defaultACLs(ctx context.Context) (user, system *eventstore.ACL, err error) {
	for r, err := range s.store.Read(ctx, "$settings", eventstore.ReadOptions{Backwards: true, Limit: 1}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, eventstore.ErrStreamDeleted) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		var set struct {
			User   json.RawMessage `json:"$userStreamAcl"`
			System json.RawMessage `json:"$systemStreamAcl"`
		}
		if json.Unmarshal(r.Data, &set) == nil {
			user, system = parseACL(set.User), parseACL(set.System)
		}
	}
	return user, system, nil
}

// parseACL reads an ACL as stream metadata has it, or returns nil.
func parseACL(data json.RawMessage) *eventstore.ACL {
	var m eventstore.StreamMetadata
	wrapped, err := json.Marshal(map[string]json.RawMessage{"$acl": data})
	if len(data) == 0 || err != nil || m.UnmarshalJSON(wrapped) != nil {
		return nil
	}
	return m.ACL
}
