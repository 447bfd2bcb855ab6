package main

import (
	"slices"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// commandRows are the workloads of the write side with everybody.
func commandRows(s race.Sizes) []race.Row {
	return race.Rows(race.Peers{
		Memory:   slices.Concat(hallgrenMemory(), goesMemory(), horizonMemory()),
		Durable:  hallgrenDurable(),
		Dispatch: dispatchers(),
	}, s)
}
