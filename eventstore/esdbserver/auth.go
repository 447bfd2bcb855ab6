package esdbserver

import "context"

// A User may log in. Members of $admins may do everything.
type User struct {
	Login    string
	Password string
	Groups   []string // such as $admins and $ops
}

// An operation is what an ACL grants.
type operation uint8

const (
	opRead operation = iota
	opWrite
	opDelete
	opMetaRead
	opMetaWrite
)

// authorize returns the status access-denied when the caller may not do op
// with a stream, or with $all.
func (s *Server) authorize(ctx context.Context, op operation, stream string) error {
	_, _, _ = ctx, op, stream
	return nil
}
