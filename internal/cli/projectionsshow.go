package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foldstream/foldstream/projection"
)

type viewCommand struct{ viewArg }

// Help implements kong.HelpProvider.
func (*viewCommand) Help() string {
	return `Examples:

  foldstream projections show order-summary
  foldstream projections show order-summary --json | jq .runners`
}

// Run prints everything that is known of a view.
func (c *viewCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		s, err := admin.Show(ctx, c.View)
		if err != nil {
			return err
		}
		v := viewOf(&s)
		if !p.table(w) {
			return newEncoder(w.out).Encode(v)
		}
		return v.print(w)
	})
}

func (v *viewed) print(w *world) error {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			_, _ = fmt.Fprintf(&b, "%-10s %s\n", name, text)
		}
	}
	line("view", shown(v.View, maxName))
	state := v.State
	if v.Paused && !v.PausedAt.IsZero() {
		state += " since " + v.PausedAt.Format(time.RFC3339)
	}
	line("state", state)
	line("position", strconv.FormatUint(uint64(v.Position), 10))
	if v.Lag != nil {
		line("lag", fmt.Sprintf("%d, %s behind", *v.Lag, secondsText(v.LagSeconds)))
	}
	line("parked", strconv.Itoa(v.Parked))
	line("note", shown(v.Note, 10*maxData))
	if _, err := w.out.Write([]byte(b.String())); err != nil {
		return err
	}
	for _, part := range []func(*world) error{v.printVersions, v.printRunners, v.printPartitions} {
		if err := part(w); err != nil {
			return err
		}
	}
	return nil
}

// tableAfterGap begins a table with an empty line before it.
func tableAfterGap(w *world, columns ...column) (*table, error) {
	_, err := w.out.Write([]byte("\n"))
	return newTable(w.out, columns...), err
}

func (v *viewed) printVersions(w *world) error {
	t, err := tableAfterGap(w, column{"VERSION", true}, column{"DEFINITION", true}, column{"PARTITIONS", true}, column{title: "CREATED"}, column{title: "IS"})
	if err != nil {
		return err
	}
	for _, ver := range v.Versions {
		is := "being built"
		switch {
		case ver.Active:
			is = "read"
		case ver.Built && ver.Number < v.Active:
			is = "kept; foldstream projections rollback goes back"
		case ver.Built:
			is = "was read before a rollback"
		}
		if err := t.add(strconv.Itoa(ver.Number), strconv.Itoa(ver.Definition), strconv.Itoa(ver.Partitions), ver.Created.UTC().Format(timeFormat), is); err != nil {
			return err
		}
	}
	return t.flush()
}

func (v *viewed) printRunners(w *world) error {
	if len(v.Runners) == 0 {
		return nil
	}
	t, err := tableAfterGap(w, column{title: "APPLICATION"}, column{title: "STATE"}, column{"VERSION", true}, column{"PARTITIONS", true}, column{"EVENTS/S", true},
		column{"EVENTS/COMMIT", true}, column{"COMMIT TIME", true}, column{"CACHE HITS", true}, column{"RETRIES", true}, column{title: "LAST ERROR"})
	if err != nil {
		return err
	}
	for i := range v.Runners {
		r := &v.Runners[i]
		last := ""
		if r.Err != nil {
			last = r.Err.Error()
			if !r.ErrAt.IsZero() {
				last = r.ErrAt.UTC().Format(time.RFC3339) + " " + last
			}
		}
		if err := t.add(shown(r.Owner, maxName), string(r.State), strconv.Itoa(r.Version), strconv.Itoa(len(r.Partitions)), strconv.FormatFloat(r.Rate, 'f', 0, 64),
			strconv.FormatFloat(r.BatchSize, 'f', 1, 64), r.CommitTime.Round(10*time.Microsecond).String(), fmt.Sprintf("%.0f%%", 100*r.CacheHits),
			strconv.Itoa(r.Retries), shown(last, maxData)); err != nil {
			return err
		}
	}
	return t.flush()
}

func (v *viewed) printPartitions(w *world) error {
	t, err := tableAfterGap(w, column{"PARTITION", true}, column{"POSITION", true}, column{"EPOCH", true}, column{"PARKED", true}, column{title: "APPLICATION"})
	if err != nil {
		return err
	}
	for _, part := range slices.SortedFunc(slices.Values(v.Partitions), func(a, b projection.PartitionInfo) int { return a.Partition - b.Partition }) {
		if err := t.add(strconv.Itoa(part.Partition), strconv.FormatUint(uint64(part.Position), 10), strconv.FormatUint(part.Epoch, 10), strconv.Itoa(part.Parked), shown(part.Owner, maxName)); err != nil {
			return err
		}
	}
	return t.flush()
}
