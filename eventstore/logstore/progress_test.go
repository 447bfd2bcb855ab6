package logstore

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestALongOpenTellsHowFarItIs(t *testing.T) {
	var log strings.Builder
	s := &Store{opts: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	r := &recovery{s: s, next: 1, report: time.Now().Add(-time.Hour)}
	for range 1_000_000 {
		r.next += 2 // appends of two events
		r.progress()
	}
	if log.Len() == 0 {
		t.Error("never reported")
	}
}
