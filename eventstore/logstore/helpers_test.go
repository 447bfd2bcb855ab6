package logstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

const (
	small   = 64 << 10 // a segment for tests about one file
	waitFor = 30 * time.Second
	tick    = time.Millisecond
)

// event returns an event whose frame does not end with a zero.
func event(n int) eventstore.Event {
	return eventstore.Event{ID: eventstore.NewID(), Type: "counted", ContentType: eventstore.ContentTypeJSON, Data: fmt.Appendf(nil, `{"n":%8d}`, n)}
}

func events(n int) []eventstore.Event {
	var es []eventstore.Event
	for i := range n {
		es = append(es, event(i))
	}
	return es
}

func appendTo(t *testing.T, s eventstore.Store, stream string, n int) eventstore.Receipt {
	t.Helper()
	r, err := s.Append(context.Background(), stream, eventstore.Any, events(n)...)
	require.NoError(t, err)
	return r
}

func readAll(t *testing.T, s eventstore.Store) []eventstore.Recorded {
	t.Helper()
	var all []eventstore.Recorded
	for r, err := range s.ReadAll(context.Background(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

// write makes a store in a new directory, lets do write to it, closes it and
// returns the directory.
func write(t *testing.T, opts *logstore.Options, do func(s *logstore.Store)) string {
	t.Helper()
	dir := t.TempDir()
	s, err := logstore.Open(dir, opts)
	require.NoError(t, err)
	do(s)
	require.NoError(t, s.Close())
	return dir
}

// leave is write without closing the store, as after a crash.
func leave(t *testing.T, opts *logstore.Options, do func(s *logstore.Store)) string {
	t.Helper()
	dir := t.TempDir()
	s, err := logstore.Open(dir, opts)
	require.NoError(t, err)
	do(s)
	require.NoError(t, s.Abandon())
	return dir
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	slices.Sort(names)
	return names
}

// used returns the offset behind the last frame of a segment.
func used(t *testing.T, file string) int64 {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	n := int64(len(strings.TrimRight(string(b), "\x00")))
	return n
}

func patch(t *testing.T, file string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(b, off)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
