package logstore

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

func TestALongOpenTellsHowFarItIs(t *testing.T) {
	var log strings.Builder
	s := &Store{opts: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	r := &recovery{s: s, report: time.Now().Add(-time.Hour)}
	for i := range eventstore.Position(1_000_000) {
		r.progress(2 * i) // appends of two events
	}
	if log.Len() == 0 {
		t.Error("never reported")
	}
}
