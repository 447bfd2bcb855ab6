package main

import (
	"context"
	"fmt"
	"io"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const commandsUsage = `usage: benchmarks commands [flags]

Measures the write side: commands on new orders and on orders with a history,
in memory and durable, aggregates loaded from their events, dispatch, and one
order that everybody wants. Entries of a row are measured in turns and the
medians count; what is stored is checked after each repetition. The bars are
those that need no other library; make bench-peers judges the rest.

Flags:
`

func runCommands(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var s race.Settings
	fs := newFlags("benchmarks commands", commandsUsage, stderr)
	s.Flags(fs)
	if err := parseOnlyFlags(fs, args); err != nil {
		return err
	}
	rows := append(race.Rows(race.Peers{}, s.Sizes()), race.MoreRows(s.Sizes())...)
	if err := s.Check(rows); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return s.Run(ctx, rows, stdout, stderr)
}
