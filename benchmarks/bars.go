package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// A row is one workload with the bar that it is to reach.
type row struct {
	name   string
	bar    string
	change func(*config)
	passed func(*result) bool
}

func atLeast(ratio float64) func(*result) bool {
	return func(r *result) bool { return r.Ratio >= ratio }
}

// rows are what projection measures unless a flag chooses otherwise.
var rows = []row{
	{"catch-up, uniform keys", "1.0 of HSET", func(*config) {}, atLeast(1)},
	{"catch-up, zipf 1.1", "2.0 of HSET", func(c *config) { c.zipf = 1.1 }, atLeast(2)},
	{"rebuild from zero", "1.2 of HSET", func(c *config) { c.scenario = "rebuild" }, atLeast(1.2)},
	{"4 projections, events times projections", "1.2 of HSET", func(c *config) { c.scenario = "four" }, atLeast(1.2)},
	{"one event at a time, 100 commands/s", "p50 1.5 ms, p99 10 ms", func(c *config) { c.scenario = "latency" }, func(r *result) bool {
		return r.P50 <= 1.5 && r.P99 <= 10
	}},
}

// measureRows measures all rows, or those whose names contain c.only, and
// judges each.
func measureRows(ctx context.Context, c config, stdout io.Writer, say func(string, ...any)) error {
	var table []string
	measured := 0
	for i, row := range rows {
		if !strings.Contains(row.name, c.only) {
			continue
		}
		mine := c
		if row.change(&mine); c.data != "" {
			mine.data = filepath.Join(c.data, strconv.Itoa(i+1)) // not all have the same events
		}
		say("## %s", row.name)
		r, err := measure(ctx, mine, say)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		measured++
		verdict := "missed"
		if r.Row, r.Bar, r.Passed = row.name, row.bar, row.passed(r); r.Passed {
			verdict = "passed"
		}
		if c.json {
			if err := json.NewEncoder(stdout).Encode(r); err != nil {
				return err
			}
			continue
		}
		r.print(say)
		say("")
		table = append(table, fmt.Sprintf("%-42s %-28s bar %-24s %s", row.name, r.short(), row.bar, verdict))
	}
	if measured == 0 {
		return fmt.Errorf("%w: -only %q matches no row", errUsage, c.only)
	}
	say("## bars")
	for _, line := range table {
		say("%s", line)
	}
	return nil
}

func (r *result) short() string {
	if r.Scenario == "latency" {
		return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", r.P50, r.P99)
	}
	return fmt.Sprintf("%.2f of HSET, %.0f/s", r.Ratio, r.PerSecond)
}
