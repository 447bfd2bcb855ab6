package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// showStatus is the subcommand status: it lets the views follow until they are
// level and says where each is. The rate is that of catching up.
func showStatus(ctx context.Context, a *app, asJSON bool, out, notes io.Writer) (err error) {
	before, err := a.runner.Status(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	stop := a.follow(ctx)
	defer func() { err = joinStop(err, stop) }()
	if err := a.waitLevel(ctx, notes); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	all, err := a.runner.Status(ctx)
	if err != nil {
		return err
	}
	views := make([]viewHealth, len(all))
	for i, s := range all {
		if views[i] = healthOf(s); s.Rate == 0 { // not measured yet
			views[i].Rate = float64(s.Events) / took
		}
	}
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"views": views})
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VIEW\tVERSION\tSTATE\tFOUND AT\tPOSITION\tHEAD\tLAG\tEVENTS/S\tPARKED\tLAST ERROR")
	for i, v := range views {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%.0f\t%d\t%s\n",
			v.View, v.Version, v.State, before[i].Position, v.Position, v.Head, v.Lag, v.Rate, v.Parked, v.LastError)
	}
	return table.Flush()
}
