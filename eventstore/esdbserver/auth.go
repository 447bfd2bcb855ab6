package esdbserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A User may log in. Members of $admins may do everything; members of $ops
// may manage persistent subscriptions.
type User struct {
	Login    string
	Password string
	Groups   []string // such as $admins and $ops
}

// DefaultUsers returns the users of a new EventStoreDB: admin and ops, both
// with the password changeit. They are for development.
func DefaultUsers() []User {
	return []User{
		{Login: "admin", Password: "changeit", Groups: []string{groupAdmins}},
		{Login: "ops", Password: "changeit", Groups: []string{groupOps}},
	}
}

const (
	groupAdmins = "$admins"
	groupOps    = "$ops"
	everyone    = "$all"
)

// A principal is who calls.
type principal struct {
	login  string // empty for anonymous
	groups []string
}

var (
	anonymous = &principal{}
	insecure  = &principal{login: "admin", groups: []string{groupAdmins}} // without users everyone is an administrator
)

func (p *principal) admin() bool { return slices.Contains(p.groups, groupAdmins) }

// hasRole reports whether one of roles, names of users and groups, is p's.
func (p *principal) hasRole(roles []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool {
		return role == everyone || p.login != "" && role == p.login || slices.Contains(p.groups, role)
	})
}

type principalKey struct{}

func withPrincipal(ctx context.Context, p *principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

func principalOf(ctx context.Context) *principal {
	if p, ok := ctx.Value(principalKey{}).(*principal); ok {
		return p
	}
	return anonymous
}

var errUnauthenticated = status.Error(codes.Unauthenticated, "Unauthenticated")

// authenticate returns who calls. A call without credentials is anonymous; one
// with wrong credentials is refused.
func (s *Server) authenticate(ctx context.Context) (*principal, error) {
	if s.users == nil {
		return insecure, nil
	}
	header := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(header) == 0 {
		return anonymous, nil
	}
	scheme, encoded, _ := strings.Cut(header[0], " ")
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	login, password, found := strings.Cut(string(plain), ":")
	if !strings.EqualFold(scheme, "basic") || err != nil || !found {
		return nil, errUnauthenticated
	}
	user, known := s.users[login]
	want := ""
	if known {
		want = user.Password
	}
	// Compared even for nobody, and as sums, so that the time tells nothing.
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 || !known {
		return nil, errUnauthenticated
	}
	return &principal{login: user.Login, groups: user.Groups}, nil
}

// requireManager returns access-denied unless the caller may manage
// persistent subscriptions.
func (s *Server) requireManager(ctx context.Context) error {
	if p := principalOf(ctx); p.admin() || slices.Contains(p.groups, groupOps) {
		return nil
	}
	return accessDenied(ctx)
}

// requireAuthenticated returns access-denied for an anonymous caller.
func (s *Server) requireAuthenticated(ctx context.Context) error {
	if principalOf(ctx).login != "" {
		return nil
	}
	return accessDenied(ctx)
}
