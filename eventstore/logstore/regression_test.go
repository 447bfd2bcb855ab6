package logstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestOpenAfterACrashWhileTheFirstSegmentWasMade(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log.tmp", 1)), []byte("half"), 0o644))
	s, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestAPanickingClockDoesNotHangTheStore(t *testing.T) {
	var bad atomic.Bool
	s, err := logstore.Open(t.TempDir(), &logstore.Options{SegmentSize: small, Now: func() time.Time {
		if bad.Load() {
			panic("clock")
		}
		return time.Now()
	}})
	require.NoError(t, err)
	bad.Store(true)
	require.Panics(t, func() { _, _ = s.Append(t.Context(), "a-1", eventstore.Any, event(1)) })
	bad.Store(false)
	done := make(chan error, 2)
	go func() { _, err := s.Append(context.Background(), "a-1", eventstore.Any, event(1)); done <- err }()
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(2 * time.Second):
		t.Error("append hangs for ever")
	}
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(2 * time.Second):
		t.Error("close hangs for ever")
	}
}

func TestMetadataHasNoMetadataOfItsOwn(t *testing.T) {
	s := memstore.New(nil)
	_, err := s.SetStreamMetadata(t.Context(), "s", eventstore.NoStream, eventstore.StreamMetadata{MaxCount: 2})
	require.NoError(t, err)
	_, err = s.Append(t.Context(), "$$$$s", eventstore.Any, eventstore.Event{Type: "$metadata", ContentType: eventstore.ContentTypeJSON, Data: []byte(`{"$tb":9223372036854775807}`)})
	require.NoError(t, err)
	for _, err := range s.Read(t.Context(), "$$s", eventstore.ReadOptions{}) {
		assert.NoError(t, err)
	}
	_, err = s.SetStreamMetadata(t.Context(), "s", eventstore.NoStream, eventstore.StreamMetadata{MaxCount: 3})
	assert.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = s.SetStreamMetadata(t.Context(), "s", eventstore.StreamExists, eventstore.StreamMetadata{MaxCount: 3})
	assert.NoError(t, err)
}

func TestTheLongestNameHasReadableMetadata(t *testing.T) {
	name := strings.Repeat("n", eventstore.MaxStreamName)
	s := open(t, t.TempDir(), nil)
	_, err := s.SetStreamMetadata(t.Context(), name, eventstore.Any, eventstore.StreamMetadata{MaxCount: 2})
	require.NoError(t, err)
	for _, err := range s.Read(t.Context(), eventstore.MetadataStream(name), eventstore.ReadOptions{}) {
		assert.NoError(t, err)
	}
}

func TestAnUnderflowedVersionIsNoWildcard(t *testing.T) {
	s := memstore.New(nil)
	_, err := s.Append(t.Context(), "s", eventstore.Any, events(2)...)
	require.NoError(t, err)
	var v eventstore.Version
	_, err = s.Append(t.Context(), "s", eventstore.Exact(v-2), events(2)...)
	assert.Error(t, err)
}

// Settle: how much is written again at open after a clean close

func TestManySmallEventsUnderALongNameAreTooLarge(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	es := make([]eventstore.Event, 1<<16)
	for i := range es {
		es[i].Type = "t"
	}
	_, err := s.Append(t.Context(), strings.Repeat("n", 4096), eventstore.Any, es...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	_, err = s.Append(t.Context(), "n", eventstore.Any, es...)
	require.NoError(t, err)
}
