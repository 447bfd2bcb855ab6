package race

import (
	"fmt"

	"github.com/foldstream/foldstream/aggregate"
)

// Peers are the other libraries of a race.
type Peers struct {
	Memory   []Contestant // stores in memory
	Durable  []Contestant // stores that have synced what they acknowledged
	Dispatch []Entry      // command buses
}

// Sizes say how much is stored before something is measured.
type Sizes struct {
	Orders int // that commands add lines to; a multiple of 32
	Each   int // of each caller at least, of many
	Long   int // that are loaded
}

// Rows returns the workloads of the issue with foldstream and its peers.
func Rows(p Peers, s Sizes) []Row {
	oneCaller := func(c Contestant) Entry { return Fresh(c, 1) }
	add := func(c Contestant) Entry { return Existing(c, 1, s.Orders, 100) }
	load := func(c Contestant) Entry { return Rehydrate(c, s.Long, 1000) }
	return []Row{
		{Name: "W1a command on a fresh order, memory", Unit: "commands",
			Entries: append(append(ours(Memory, creating, oneCaller), ours(Memory, asked, oneCaller)...), enter(p.Memory, oneCaller)...),
			Bars:    append(bars(creating, 2, 2, Bar{Allocs: 8}), bars(asked, 2, 2, Bar{Allocs: 8})...)},
		{Name: "W1b command on an order of 100 events, memory", Unit: "commands",
			Entries: append(append(ours(Memory, uncached, add), ours(Memory, cached, add)...), enter(p.Memory, add)...),
			Bars:    append(bars(uncached, 4, 4, Bar{}), bars(cached, 50, 50, Bar{})...)},
		freshDurable("W2 ", 1, p.Durable, 1.4),
		freshDurable("W2 ", 16, p.Durable, 5),
		existingDurable("W2 ", 16, s, p.Durable, 10),
		{Name: "W3 rehydrate an order of 1000 events, memory", Unit: "events",
			Entries: append(ours(Memory, uncached, load), enter(p.Memory, load)...),
			Bars:    bars(uncached, 2, 5, Bar{})},
		{Name: "W3 rehydrate an order of 1000 events, durable", Unit: "events",
			Entries: append(ours(Durable, uncached, load), enter(p.Durable, load)...),
			Bars:    bars(uncached, 6, 15, Bar{})},
		{Name: "W6 dispatch to an empty handler", Unit: "commands", Entries: append(OurDispatch(), p.Dispatch...), Bars: DispatchBars},
		Hot(64),
	}
}

// MoreRows are workloads without peers: the more callers there are, the more
// share a write.
func MoreRows(s Sizes) []Row {
	var rows []Row
	for _, callers := range []int{64, 256} {
		rows = append(rows, freshDurable("", callers, nil, 0), existingDurable("", callers, s, nil, 0))
	}
	for _, callers := range []int{1, 64} {
		rows = append(rows, Queued(callers))
	}
	return append(rows, Snapshots(s.Long, 1000))
}

func freshDurable(prefix string, callers int, peers []Contestant, times float64) Row {
	as := func(c Contestant) Entry { return Fresh(c, callers) }
	return Row{Name: fmt.Sprintf("%scommand on a fresh order, durable, %d callers", prefix, callers), Unit: "commands",
		Entries: append(append(ours(Durable, creating, as), ours(Durable, asked, as)...), enter(peers, as)...),
		Bars:    append(bars(creating, times, times, Bar{}), bars(asked, times, times, Bar{})...)}
}

func existingDurable(prefix string, callers int, s Sizes, peers []Contestant, times float64) Row {
	as := func(c Contestant) Entry { return Existing(c, callers, max(s.Orders/2, s.Each*callers), 100) }
	return Row{Name: fmt.Sprintf("%scommand on an order of 100 events, durable, %d callers", prefix, callers), Unit: "commands",
		Entries: append(append(ours(Durable, uncached, as), ours(Durable, cached, as)...), enter(peers, as)...), Bars: bars(cached, times, times, Bar{})}
}

// how says what is set: the state cache, and that the command that begins an
// order asks for the order not to exist.
type setting struct {
	suffix string
	opts   *aggregate.Options
	place  []aggregate.ExecuteOption
	warm   bool
}

var (
	creating = setting{suffix: ", must not exist", place: []aggregate.ExecuteOption{aggregate.MustNotExist()}}
	asked    = setting{}                              // as by default: it is looked whether the order exists
	cached   = setting{suffix: ", cache", warm: true} // as by default
	uncached = setting{suffix: ", no cache", opts: Uncached()}
)

// ours enters foldstream with plain and with generated types.
func ours(on func(string, Types, *aggregate.Options, ...aggregate.ExecuteOption) Contestant, how setting, as func(Contestant) Entry) []Entry {
	var entries []Entry
	for _, types := range []Types{Plain, Generated} {
		c := on(ourName(types, how), types, how.opts, how.place...)
		c.Warm = how.warm
		entries = append(entries, as(c))
	}
	return entries
}

func ourName(types Types, how setting) string {
	return fmt.Sprintf("foldstream, %s types%s", types, how.suffix)
}

// bars are those of the entries that ours makes.
func bars(how setting, plain, generated float64, more Bar) []Bar {
	p, g := more, more
	p.Entry, p.Times = ourName(Plain, how), plain
	g.Entry, g.Times = ourName(Generated, how), generated
	return []Bar{p, g}
}

func enter(all []Contestant, as func(Contestant) Entry) []Entry {
	entries := make([]Entry, len(all))
	for i, c := range all {
		entries[i] = as(c)
	}
	return entries
}
