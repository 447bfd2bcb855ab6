package logstore

import (
	"hash/crc32"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// Forge makes an index file wrong whose checksums are right: two of its
// postings are exchanged.
func Forge(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	n := func(off int) int { return int(le.Uint32(b[off:])) }
	at := indexHeader + n(88) + 8*(n(72)+1) + 8*n(72)
	x, y := le.Uint32(b[at:]), le.Uint32(b[at+4:])
	le.PutUint32(b[at:], y)
	le.PutUint32(b[at+4:], x)
	le.PutUint32(b[120:], crc32.Checksum(b[indexHeader:], castagnoli))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	require.NoError(t, os.WriteFile(file, b, 0o600))
}

// BackupWithFS returns o with a file system of the test's own for the copy.
func BackupWithFS(o BackupOptions, fsys disk.FS) *BackupOptions {
	o.fs = fsys
	return &o
}

// ImportWithFS returns o with a file system of the test's own.
func ImportWithFS(o ImportOptions, fsys disk.FS) *ImportOptions {
	o.fs = fsys
	return &o
}
