// Package redisproc runs a real redis-server as a child process, for tests and
// benchmarks. It does not import package testing; redistest does.
package redisproc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNotInstalled means that there is no redis-server on the PATH.
var ErrNotInstalled = errors.New("redisproc: no redis-server on the PATH; install Redis 7, such as with apt-get install redis-server")

const (
	startTimeout = 20 * time.Second
	portTries    = 5 // another process may take a free port before Redis does
)

// Options configure a server. The zero value keeps nothing on disk.
type Options struct {
	// AOF makes every write durable before it is answered.
	AOF bool
	// AOFEverySecond writes every change to a file that is synced once a second.
	AOFEverySecond bool
	// TLS has the port speak TLS only. The unix socket stays as it is.
	TLS *TLS
	// Sentinel is the configuration of a Sentinel, which the server then is
	// instead of keeping data. The other options must not be set with it.
	Sentinel string
	// Args are further arguments, such as "--maxmemory", "64mb".
	Args []string
}

// TLS names files in PEM. Clients must show a certificate that CA has signed.
type TLS struct {
	Cert, Key, CA string
}

// A Server is a redis-server child process.
type Server struct {
	dir    string
	ownDir bool
	port   int
	opts   Options

	mu   sync.Mutex
	proc *process // nil when it does not run
}

// A process is one run of the server.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer // read only after exited
	exited chan struct{}
}

// StartServer starts a server on a free loopback port with its files in dir,
// and returns when it answers. An empty dir means a temporary one that Stop
// removes. A nil opts means the defaults.
func StartServer(dir string, opts *Options) (*Server, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Server{dir: dir, opts: *opts}
	if dir == "" {
		// Short, because the path of a socket must stay below 108 bytes.
		tmp, err := os.MkdirTemp("", "redis")
		if err != nil {
			return nil, fmt.Errorf("redisproc: make a directory: %w", err)
		}
		s.dir, s.ownDir = tmp, true
	}
	var err error
	for range portTries {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.run(); err == nil || errors.Is(err, ErrNotInstalled) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.cleanup())
	}
	return s, nil
}

// arguments returns what the server is started with. A Sentinel is told by a
// file, which it rewrites; the file is written before the first start only.
func (s *Server) arguments() ([]string, error) {
	port, o := strconv.Itoa(s.port), &s.opts
	own := []string{"--dir", s.dir, "--unixsocket", s.Socket(), "--bind", "127.0.0.1"}
	if o.Sentinel != "" {
		config := filepath.Join(s.dir, "sentinel.conf")
		if _, err := os.Stat(config); err != nil {
			if err := os.WriteFile(config, []byte(o.Sentinel), 0o600); err != nil {
				return nil, fmt.Errorf("redisproc: configure Sentinel: %w", err)
			}
		}
		return append([]string{config, "--sentinel", "--port", port}, own...), nil
	}
	args := append(own, "--save", "")
	switch {
	case o.AOF:
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	case o.AOFEverySecond:
		args = append(args, "--appendonly", "yes", "--appendfsync", "everysec")
	default:
		args = append(args, "--appendonly", "no")
	}
	if t := o.TLS; t != nil {
		args = append(args, "--port", "0", "--tls-port", port, "--tls-cert-file", t.Cert, "--tls-key-file", t.Key, "--tls-ca-cert-file", t.CA)
	} else {
		args = append(args, "--port", port)
	}
	return append(args, o.Args...), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("redisproc: find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// Addr returns the host and port that the server listens on.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Socket returns the path of the unix socket that the server listens on too.
func (s *Server) Socket() string { return filepath.Join(s.dir, "redis.sock") }

// run starts the process and waits until it answers on its own socket, which,
// unlike the port, cannot be another server's.
func (s *Server) run() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return ErrNotInstalled
	}
	args, err := s.arguments()
	if err != nil {
		return err
	}
	p := &process{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("redisproc: start %s: %w", path, err)
	}
	go func() {
		_ = p.cmd.Wait() // a killed process is no error here
		close(p.exited)
	}()
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	if err := s.await(p); err != nil {
		s.Kill()
		return err
	}
	return nil
}

// await pings until the server is ready, which a server that loads its data
// is not yet.
func (s *Server) await(p *process) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("redisproc: redis-server ended at once:\n%s", p.output.String())
		case <-deadline.C:
			return fmt.Errorf("redisproc: redis-server did not answer within %s", startTimeout)
		case <-tick.C:
			if s.ping() {
				return nil
			}
		}
	}
}

func (s *Server) ping() bool {
	c, err := net.DialTimeout("unix", s.Socket(), time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}

// Kill ends the process with SIGKILL and waits for its end. Its files stay.
func (s *Server) Kill() {
	s.mu.Lock()
	p := s.proc
	s.proc = nil
	s.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.exited
}

// Signal sends a signal to the process, such as SIGSTOP to have it hang.
func (s *Server) Signal(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("redisproc: the server does not run")
	}
	if err := s.proc.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("redisproc: %s to redis-server: %w", sig, err)
	}
	return nil
}

// Restart starts a server that was killed again, on the same port with the
// same files. It kills one that runs.
func (s *Server) Restart() error {
	s.Kill()
	return s.run()
}

// Stop ends the server and removes its temporary directory.
func (s *Server) Stop() error {
	s.Kill()
	return s.cleanup()
}

func (s *Server) cleanup() error {
	if !s.ownDir {
		return nil
	}
	return os.RemoveAll(s.dir)
}
