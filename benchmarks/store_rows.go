package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// A storeBar says what a row must reach.
type storeBar struct {
	row   string
	unit  string
	of    string // limit, or row, that the ratio is to; empty for a bar in the row's own unit
	bar   float64
	below bool    // the value must not exceed the bar
	own   bool    // the bar is in the row's own unit, though the ratio is to a limit
	most  float64 // a limit above this does not raise what must be reached; 0 for no such bound
}

// barSyncs is the speed of the disk that the bars of many events for each sync
// were set by: on a faster one the processor bounds them.
const barSyncs = 5_700

// storeBars are the rows, in the order of the table, with the bars of the
// issue. A bar of zero is none.
var storeBars = []storeBar{
	{row: rowAppend1, unit: "events/s", of: limitSync, bar: 0.85},
	{row: rowAppend16, unit: "events/s", of: rowAppend1, bar: 6},
	{row: rowAppend256, unit: "events/s", of: limitSync, bar: 45, most: barSyncs},
	{row: rowAppend100, unit: "events/s", of: limitSync, bar: 60, most: barSyncs},
	{row: rowReplay, unit: "B/s", of: limitScan, bar: 0.7},
	{row: rowScan, unit: "B/s", of: limitScan, bar: 0.7},
	{row: rowFiltered, unit: "B/s", of: limitScan},
	{row: rowStream, unit: "us", of: limitLooks, bar: 10, below: true, own: true},
	{row: rowStreamTail, unit: "us", of: limitLooks},
	{row: rowOpenClean, unit: "s", bar: 0.1, below: true},
	{row: rowOpenKilled, unit: "s", bar: 1, below: true},
	{row: rowMemoryFilled, unit: "B", bar: 150e6, below: true},
	{row: rowMemoryOpened, unit: "B", bar: 150e6, below: true},
	{row: rowGrowthFilled, unit: "B", bar: 20e6, below: true},
	{row: rowGrowthOpened, unit: "B", bar: 20e6, below: true},
	{row: rowDisk, unit: "B", bar: 40, below: true},
}

// A storeRow is a line of the result.
type storeRow struct {
	Row    string    `json:"row"`
	Value  float64   `json:"value"` // median
	Unit   string    `json:"unit"`
	Limit  float64   `json:"limit,omitempty"` // what the ratio is to
	Of     string    `json:"of,omitempty"`
	Ratio  float64   `json:"ratio,omitempty"` // of the value to the limit, or to the bar
	Bar    float64   `json:"bar,omitempty"`
	Passed *bool     `json:"passed,omitempty"`
	Note   string    `json:"note,omitempty"`
	All    []float64 `json:"all"` // in the order of the repetitions
}

// judged returns what was measured: the limits, then the rows.
func (s *storeRun) judged() []storeRow {
	var all []storeRow
	for _, name := range []string{limitSync, limitSparse, limitWrite, limitScan, limitLooks} {
		if v := s.samples[name]; len(v) > 0 {
			unit := "calls/s"
			switch name {
			case limitWrite, limitScan:
				unit = "B/s"
			case limitLooks:
				unit = "us"
			}
			all = append(all, storeRow{Row: name, Value: race.Median(v), Unit: unit, All: v})
		}
	}
	for _, b := range storeBars {
		if v := s.samples[b.row]; len(v) > 0 {
			r := storeRow{Row: b.row, Value: race.Median(v), Unit: b.unit, Bar: b.bar, Note: s.extra[b.row], All: v}
			r.judge(b, s.samples[b.of])
			all = append(all, r)
		}
	}
	return all
}

// judge compares each repetition with the limit that was measured beside it,
// and takes the median of these ratios.
func (r *storeRow) judge(b storeBar, limit []float64) {
	reached := r.Value
	switch {
	case b.of != "" && len(limit) == len(r.All):
		ratios := make([]float64, len(limit))
		for i := range limit {
			ratios[i] = r.All[i] / limit[i]
		}
		r.Of, r.Limit, r.Ratio = b.of, race.Median(limit), race.Median(ratios)
		if !b.own {
			reached = r.Ratio
		}
		if b.most > 0 && r.Limit > b.most {
			reached = r.Value / b.most
		}
	case b.of == "" && b.bar > 0:
		r.Of, r.Ratio = "the bar", r.Value/b.bar
	}
	if b.bar == 0 {
		return
	}
	passed := reached >= b.bar
	if b.below {
		passed = reached <= b.bar
	}
	r.Passed = &passed
}

func (r *storeRow) line() string {
	s := fmt.Sprintf("%-48s %8s %-8s", r.Row, human(r.Value), r.Unit)
	if r.Limit > 0 {
		s += fmt.Sprintf("  limit %7s  ratio %6.2f of %s", human(r.Limit), r.Ratio, r.Of)
	}
	if r.Passed != nil {
		word := "MISSED"
		if *r.Passed {
			word = "passed"
		}
		s += fmt.Sprintf("  bar %s %s", human(r.Bar), word)
	}
	if r.Note != "" {
		s += "  (" + r.Note + ")"
	}
	return strings.TrimRight(s, " ")
}

// human returns v with about three digits and a letter for thousands.
func human(v float64) string {
	for _, step := range []struct {
		of     float64
		letter string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= step.of {
			return fmt.Sprintf("%.3g%s", v/step.of, step.letter)
		}
	}
	return fmt.Sprintf("%.3g", v)
}
