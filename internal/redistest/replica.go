package redistest

import (
	"net"
	"strings"
	"testing"
)

// StartReplica starts a server that follows master, and returns when it has
// all that master has.
func StartReplica(tb testing.TB, master *Server, opts ...Option) *Server {
	tb.Helper()
	// By default a replica is sent its first copy after five seconds.
	master.configure("repl-diskless-sync-delay", "0")
	s := Start(tb, append(opts, Args("--repl-diskless-sync-delay", "0"))...)
	s.Replicate(master)
	return s
}

// Replicate has the server follow master, and returns when it has all that
// master had when it was called. What it had before and master has not is lost.
func (s *Server) Replicate(master *Server) {
	s.tb.Helper()
	host, port, _ := net.SplitHostPort(master.Addr())
	s.command("replicaof", host, port)
	await(s.tb, "the replica follows", func() bool {
		return strings.Contains(s.info("replication"), "master_link_status:up")
	})
	s.CatchUp(master)
}

// CatchUp waits until a replica has all that master had when it was called.
func (s *Server) CatchUp(master *Server) {
	s.tb.Helper()
	offset := field(master.info("replication"), "master_repl_offset")
	await(s.tb, "the replica has everything", func() bool {
		return atLeast(field(s.info("replication"), "slave_repl_offset"), offset)
	})
}

// StopReplication cuts a replica off: it stays one, and what its master writes
// from now on does not reach it.
func (s *Server) StopReplication() {
	s.tb.Helper()
	s.command("replicaof", "127.0.0.1", "1") // where no server is
	await(s.tb, "the replica is cut off", func() bool {
		return strings.Contains(s.info("replication"), "master_link_status:down")
	})
}

// Promote makes a replica a master.
func (s *Server) Promote() {
	s.tb.Helper()
	s.command("replicaof", "no", "one")
}

// RewriteAOF has the server write its file anew, and returns when it has.
func (s *Server) RewriteAOF() {
	s.tb.Helper()
	s.command("bgrewriteaof")
	await(s.tb, "the file is written anew", func() bool {
		info := s.info("persistence")
		return field(info, "aof_rewrite_in_progress") == "0" && field(info, "aof_rewrite_scheduled") == "0" && field(info, "aof_last_bgrewrite_status") == "ok"
	})
}

func (s *Server) configure(name, value string) {
	s.tb.Helper()
	s.command("config", "set", name, value)
}

// command asks the server itself, over a connection of its own.
func (s *Server) command(args ...any) {
	s.tb.Helper()
	if err := s.admin().Do(s.tb.Context(), args...).Err(); err != nil {
		s.tb.Fatalf("redistest: %v: %v", args, err)
	}
}

func (s *Server) info(section string) string {
	return s.admin().Info(s.tb.Context(), section).Val() // empty while it does not answer
}

// field returns the value of a line of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// atLeast compares numbers without signs.
func atLeast(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a >= b
}
