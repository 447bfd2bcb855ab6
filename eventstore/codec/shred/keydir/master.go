package keydir

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrMaster means that a key is encrypted with a master key that was not given.
var ErrMaster = errors.New("keydir: master key is missing")

// NewMaster returns a random master key in the form that [ParseMaster] reads.
func NewMaster() string {
	key := make([]byte, MasterSize)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// ParseMaster reads a master key: 32 bytes in standard base64, as NewMaster
// and "openssl rand -base64 32" make them.
func ParseMaster(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != MasterSize {
		return nil, fmt.Errorf("keydir: a master key is %d bytes in base64; make one with openssl rand -base64 %d", MasterSize, MasterSize)
	}
	return key, nil
}

// ReadMaster reads a master key from a file, see [ParseMaster].
func ReadMaster(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("keydir: read master key: %w", err)
	}
	key, err := ParseMaster(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
