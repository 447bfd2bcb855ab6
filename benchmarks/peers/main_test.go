package main

import (
	"io"
	"strings"
	"testing"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// TestAllExact runs every contestant on a few events; run itself compares each
// document with what it must be.
func TestAllExact(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"views", "-events", "5003", "-per-order", "7", "-reps", "2"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hallgren memory, projection", "goes memory, query", "foldstream logstore", "W4 against the best peer, durable log"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// TestCheckFindsMistakes holds the comparison itself.
func TestCheckFindsMistakes(t *testing.T) {
	h, err := makeHistory(100, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.check(func(func(string, []byte) error) error { return nil }); err == nil {
		t.Error("an empty view passed")
	}
	wrong := Summary{Lines: 99}
	data, err := wrong.MarshalMsg(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.check(func(yield func(string, []byte) error) error { return yield(h.ids[0].String(), data) }); err == nil {
		t.Error("a wrong document passed")
	}
}

// TestCommandsAllExact runs every contestant of every row shortly; each
// repetition checks what is stored.
func TestCommandsAllExact(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"commands", "-quick", "-dir", t.TempDir()}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, row := range commandRows(race.Sizes{Orders: 16, Long: 1}) {
		if !strings.Contains(out.String(), "## "+row.Name+"\n") {
			t.Errorf("no row %q", row.Name)
		}
		for _, e := range row.Entries {
			if !strings.Contains(out.String(), "\n"+e.Name) {
				t.Errorf("no %q in row %q", e.Name, row.Name)
			}
		}
	}
}
