package main

import (
	"strings"
	"testing"
)

// TestAllExact runs every contestant on a few events; run itself compares each
// document with what it must be.
func TestAllExact(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-events", "5003", "-per-order", "7", "-reps", "2"}, &out); err != nil {
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
