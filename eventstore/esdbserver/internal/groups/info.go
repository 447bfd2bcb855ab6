package groups

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Info is what is known of a group at one moment.
type Info struct {
	Definition

	Status         string // Live or Behind
	Connections    []Connection
	LastCheckpoint uint64 // version, on $all position; 0 when there is none
	LastKnown      uint64 // the last event there is to read; 0 when there is none

	AveragePerSecond int   // events dealt with since the group was started
	Total            int64 // likewise
	SinceMeasured    int64 // events dealt with since the last Info
	ReadBuffer       int   // events read ahead while the group is behind
	LiveBuffer       int   // events read ahead while it is not
	RetryBuffer      int   // events waiting to be handed out again
	InFlight         int   // events that consumers hold
	Parked           int64 // parked events that were not replayed
}

// Connection is what is known of a consumer.
type Connection struct {
	Client

	AveragePerSecond int   // events handed out
	Total            int64 // likewise
	SinceMeasured    int64 // events handed out since the last Info
	InFlight         int
	Measurements     []Measurement // of the last 1000 acknowledged; with extra statistics only
}

// A Measurement is a figure in milliseconds.
type Measurement struct {
	Key   string
	Value int64
}

func (g *group) info(ctx context.Context) (Info, error) {
	known, err := g.lastKnown(ctx)
	if err != nil {
		return Info{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	i := Info{
		Definition: g.def, Status: "Behind", LastCheckpoint: g.checkpoint, LastKnown: known,
		AveragePerSecond: perSecond(g.total, now.Sub(g.started)),
		Total:            g.total, SinceMeasured: g.total - g.measured,
		RetryBuffer: len(g.retries), InFlight: g.inFlight, Parked: g.parked,
	}
	g.measured = g.total
	if g.live {
		i.Status, i.LiveBuffer = "Live", len(g.queue)
	} else {
		i.ReadBuffer = len(g.queue)
	}
	for _, c := range g.consumers.all {
		one := Connection{
			Client: c.client, Total: c.total, SinceMeasured: c.total - c.measured, InFlight: c.held,
			AveragePerSecond: perSecond(c.total, now.Sub(c.since)),
		}
		c.measured = c.total
		if g.def.ExtraStatistics {
			one.Measurements = c.latencies.measure()
		}
		i.Connections = append(i.Connections, one)
	}
	return i, nil
}

// lastKnown returns the point of the last event that the group could read.
func (g *group) lastKnown(ctx context.Context) (uint64, error) {
	if g.def.Stream != All {
		e, _, err := last(ctx, g.store, g.def.Stream)
		return uint64(e.Version), err
	}
	for e, err := range g.store.ReadAll(ctx, eventstore.ReadAllOptions{Backwards: true}) {
		if err != nil || !hidden(e.Stream) {
			return uint64(e.Position), err
		}
	}
	return 0, nil
}

func perSecond(n int64, d time.Duration) int {
	return int(float64(n) / max(d.Seconds(), 1))
}

// latencies are those of the last events that a consumer acknowledged.
type latencies struct {
	ring []time.Duration
	next int
}

const keptLatencies = 1000

func (l *latencies) add(d time.Duration) {
	if len(l.ring) < keptLatencies {
		l.ring = append(l.ring, d)
		return
	}
	l.ring[l.next] = d
	l.next = (l.next + 1) % keptLatencies
}

// measure returns the figures that the protocol knows.
func (l *latencies) measure() []Measurement {
	if len(l.ring) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(l.ring))
	sum := time.Duration(0)
	for _, d := range sorted {
		sum += d
	}
	below := func(share float64) int64 {
		return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Milliseconds()
	}
	out := []Measurement{
		{"Mean", (sum / time.Duration(len(sorted))).Milliseconds()},
		{"Median", below(0.5)},
		{"Fastest", below(0)},
	}
	for n := 1; n <= 5; n++ {
		out = append(out, Measurement{fmt.Sprintf("Quintile %d", n), below(float64(n) / 5)})
	}
	return append(out,
		Measurement{"90%", below(0.9)}, Measurement{"95%", below(0.95)}, Measurement{"99%", below(0.99)},
		Measurement{"99.5%", below(0.995)}, Measurement{"99.9%", below(0.999)}, Measurement{"Highest", below(1)})
}
