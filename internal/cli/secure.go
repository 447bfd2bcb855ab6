package cli

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/foldstream/foldstream/eventstore/esdbserver"
)

// certificate returns what --tls-cert and --tls-key name, or nil.
func (c *serveCommand) certificate() (*tls.Certificate, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %s; both must be in PEM and belong together", c.TLSCert, c.TLSKey, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &cert, nil
}

// users returns who may log in; nil means that nobody needs to.
func (c *serveCommand) users(log *slog.Logger) ([]esdbserver.User, error) {
	switch {
	case c.Users == "" && c.Auth:
		return esdbserver.DefaultUsers(), nil
	case c.Users == "":
		return nil, nil
	}
	text, err := os.ReadFile(c.Users)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	users, err := parseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("users file %s: %w", c.Users, err)
	}
	if info, err := os.Stat(c.Users); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine can read the passwords; chmod 600 it", "users", c.Users)
	}
	if !slices.ContainsFunc(users, func(u esdbserver.User) bool { return slices.Contains(u.Groups, "$admins") }) {
		log.Warn("no user is in the group $admins, so nobody may read $all", "users", c.Users)
	}
	return users, nil
}

// parseUsers reads a JSON array of users.
func parseUsers(text []byte) ([]esdbserver.User, error) {
	var list []struct {
		Login    string   `json:"login"`
		Password string   `json:"password"`
		Groups   []string `json:"groups"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	const form = `want [{"login": "ada", "password": "secret", "groups": ["$admins"]}]`
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("%w; %s", err, form)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the array; " + form)
	}
	if len(list) == 0 {
		return nil, errors.New("it names nobody, so nobody could log in; " + form)
	}
	users := make([]esdbserver.User, len(list))
	for i, u := range list {
		switch {
		case u.Login == "":
			return nil, fmt.Errorf("user %d has no login", i+1)
		case strings.Contains(u.Login, ":"):
			return nil, fmt.Errorf("login %q has a colon, which basic authentication does not allow", u.Login)
		case u.Password == "":
			return nil, fmt.Errorf("user %q has no password", u.Login)
		case slices.ContainsFunc(users[:i], func(other esdbserver.User) bool { return other.Login == u.Login }):
			return nil, fmt.Errorf("login %q is there twice", u.Login)
		case slices.Contains(u.Groups, ""):
			return nil, fmt.Errorf("user %q has a group without a name", u.Login)
		}
		users[i] = esdbserver.User{Login: u.Login, Password: u.Password, Groups: u.Groups}
	}
	return users, nil
}

// A byteSize is a number of bytes, as 1048576 or 1MiB.
type byteSize int

const maxByteSize = 16 << 20 // the largest message of the protocol

// UnmarshalText reads a number with KiB or MiB after it, or neither.
func (b *byteSize) UnmarshalText(text []byte) (err error) {
	*b, err = parseSize(string(text), maxByteSize)
	return err
}

func parseSize(text string, limit int) (byteSize, error) {
	number, unit := text, 1
	if n, ok := strings.CutSuffix(number, "KiB"); ok {
		number, unit = n, 1<<10
	} else if n, ok := strings.CutSuffix(number, "MiB"); ok {
		number, unit = n, 1<<20
	}
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || n < 1 || n > limit/unit {
		return 0, fmt.Errorf("want bytes from 1 to %d, such as 512KiB or 2MiB, got %q", limit, text)
	}
	return byteSize(n * unit), nil
}
