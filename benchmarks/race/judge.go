package race

import (
	"fmt"
	"io"
	"strings"
)

// A Bar says what an entry of a row must reach: all of what is not zero.
type Bar struct {
	Entry     string
	Times     float64 // its rate by that of Of, each repetition compared with the same one
	Of        string  // an entry; the best peer by default
	Nanos     float64 // for each thing, at most
	Allocs    float64 // for each thing, at most
	Conflicts float64 // for each thing, below
}

// A Verdict is a bar with what was reached.
type Verdict struct {
	Bar   Bar
	Of    string // whom the rate was compared with
	Ratio float64
	CPU   float64 // the ratio of processor times, which neighbours disturb less

	// The ratios to the best peer whose events have such types, and to the best
	// with an encoder that it ships; 0 if that is the same one.
	Like, Shipped float64
	Passed        bool
	Judged        bool // false when there was nobody to compare with
}

// of returns what one repetition after the other gave.
func (r *Result) of(i int, field func(Sample) float64) []float64 {
	all := make([]float64, len(r.Samples[i]))
	for k, s := range r.Samples[i] {
		all[k] = field(s)
	}
	return all
}

func perSecond(s Sample) float64 { return s.PerSecond }
func nanos(s Sample) float64     { return s.Nanos }
func processor(s Sample) float64 { return s.CPU }
func allocs(s Sample) float64    { return s.Allocs }
func conflicts(s Sample) float64 { return s.Conflicts }

func (r *Result) find(name string) int {
	for i := range r.Row.Entries {
		if r.Row.Entries[i].Name == name {
			return i
		}
	}
	return -1
}

// bestPeer returns the fastest of the other libraries that store bytes, or -1.
// Only those that counts accepts are looked at, if it is not nil.
func (r *Result) bestPeer(counts func(Entry) bool) int {
	best, rate := -1, 0.0
	for i, e := range r.Row.Entries {
		if v := Median(r.of(i, perSecond)); e.Kind == Peer && (counts == nil || counts(e)) && v > rate {
			best, rate = i, v
		}
	}
	return best
}

// ratio is the median of the ratios of the same repetitions.
func (r *Result) ratio(i, of int, field func(Sample) float64) float64 {
	a, b := r.of(i, field), r.of(of, field)
	for k := range a {
		a[k] /= b[k]
	}
	return Median(a)
}

// otherwise is the ratio to the best of some peers, or 0 if that is of.
func (r *Result) otherwise(i, of int, counts func(Entry) bool) float64 {
	if best := r.bestPeer(counts); best >= 0 && best != of {
		return r.ratio(i, best, perSecond)
	}
	return 0
}

// Judge compares a bar with what its entry reached.
func (r *Result) Judge(b Bar) Verdict {
	v := Verdict{Bar: b}
	i := r.find(b.Entry)
	if i < 0 {
		return v
	}
	if b.Times == 0 && b.Nanos == 0 && b.Allocs == 0 && b.Conflicts == 0 {
		return v
	}
	v.Judged, v.Passed = true, true
	if b.Times > 0 {
		of := r.bestPeer(nil)
		if b.Of != "" {
			of = r.find(b.Of)
		}
		if of >= 0 {
			v.Of, v.Ratio, v.CPU = r.Row.Entries[of].Name, r.ratio(i, of, perSecond), r.ratio(of, i, processor)
			if b.Of == "" {
				v.Like = r.otherwise(i, of, func(e Entry) bool { return e.Types == r.Row.Entries[i].Types })
				v.Shipped = r.otherwise(i, of, func(e Entry) bool { return !e.Tuned })
			}
			v.Passed = v.Ratio >= b.Times
		} else if v.Bar.Times = 0; v.Bar == (Bar{Entry: b.Entry}) {
			return Verdict{Bar: b} // nobody to compare with
		}
	}
	for _, most := range []struct {
		bound float64
		field func(Sample) float64
	}{{b.Nanos, nanos}, {b.Allocs, allocs}, {b.Conflicts, conflicts}} {
		// An allocation that happens beside, such as a timer's, is none of ours.
		if most.bound > 0 && Median(r.of(i, most.field)) > most.bound*1.005 {
			v.Passed = false
		}
	}
	return v
}

func (v Verdict) line() string {
	var parts []string
	if b := v.Bar; b.Times > 0 {
		parts = append(parts, fmt.Sprintf("%.2f times %s (bar %g)", v.Ratio, v.Of, b.Times), fmt.Sprintf("%.2f by processor time", v.CPU))
	}
	if v.Like > 0 {
		parts = append(parts, fmt.Sprintf("%.2f times the best with such types", v.Like))
	}
	if v.Shipped > 0 {
		parts = append(parts, fmt.Sprintf("%.2f times the best as it ships", v.Shipped))
	}
	for _, most := range []struct {
		bound float64
		unit  string
	}{{v.Bar.Nanos, "ns"}, {v.Bar.Allocs, "allocations"}, {v.Bar.Conflicts, "conflicts each"}} {
		if most.bound > 0 {
			parts = append(parts, fmt.Sprintf("bar %g %s", most.bound, most.unit))
		}
	}
	word := "MISSED"
	if v.Passed {
		word = "passed"
	}
	return fmt.Sprintf("  %s: %s: %s", v.Bar.Entry, strings.Join(parts, ", "), word)
}

// Print writes a table: medians, and how the bars were met. raw adds the rate
// of each repetition.
func Print(w io.Writer, results []Result, raw bool) error {
	var b strings.Builder
	for i := range results {
		results[i].print(&b, raw)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) print(b *strings.Builder, raw bool) {
	best, head := r.bestPeer(nil), ""
	if best >= 0 {
		head = "best peer"
	}
	fmt.Fprintf(b, "\n## %s\n%-44s %12s %12s %10s %8s %10s\n", r.Row.Name, "", r.Row.Unit+"/s", "ns", "CPU ns", "allocs", head)
	for i, e := range r.Row.Entries {
		name, ratio := e.Name, ""
		if e.Kind == Pointers {
			name += " (no encoding)"
		}
		if best >= 0 {
			ratio = fmt.Sprintf("%.2f", r.ratio(i, best, perSecond))
		}
		fmt.Fprintf(b, "%-44s %12.0f %12.1f %10.1f %8.1f %10s", name,
			Median(r.of(i, perSecond)), Median(r.of(i, nanos)), Median(r.of(i, processor)), Median(r.of(i, allocs)), ratio)
		if c := Median(r.of(i, conflicts)); c > 0 {
			fmt.Fprintf(b, "  %.2g conflicts each", c)
		}
		b.WriteByte('\n')
		if raw {
			fmt.Fprintf(b, "    raw %.0f\n", r.of(i, perSecond))
		}
	}
	for _, bar := range r.Row.Bars {
		if v := r.Judge(bar); v.Judged {
			b.WriteString(v.line() + "\n")
		}
	}
}
