package eventstoretest

import (
	"context"
	"fmt"
	"testing"

	"github.com/foldstream/foldstream/eventstore"
)

// Benchmark measures the stores that open returns with events of 200 bytes.
func Benchmark(b *testing.B, open func(b *testing.B) eventstore.Store) {
	b.Run("Append1", func(b *testing.B) { benchmarkAppend(b, open(b), 1) })
	b.Run("Append100", func(b *testing.B) { benchmarkAppend(b, open(b), 100) })
	for _, callers := range []int{16, 64, 256} {
		b.Run(fmt.Sprintf("Append1x%d", callers), func(b *testing.B) { benchmarkCallers(b, open(b), callers) })
	}
	b.Run("ReadStream20", func(b *testing.B) { benchmarkReadStream(b, open(b)) })
	b.Run("ReadAll", func(b *testing.B) { benchmarkReadAll(b, open(b)) })
	b.Run("SubscribeAll", func(b *testing.B) { benchmarkSubscribeAll(b, open(b)) })
	if _, err := eventstore.AsConditional(open(b)); err != nil {
		return
	}
	b.Run("Append1Tagged", func(b *testing.B) { benchmarkAppendIf(b, open(b), nil) })
	b.Run("AppendIf1AfterTheLast", func(b *testing.B) {
		benchmarkAppendIf(b, open(b), func(_ string, last eventstore.Position) eventstore.Condition {
			return eventstore.Condition{Query: eventstore.Query{{Tags: []string{"all"}}}, After: last}
		})
	})
	b.Run("AppendIf1Unique", func(b *testing.B) {
		benchmarkAppendIf(b, open(b), func(tag string, _ eventstore.Position) eventstore.Condition {
			return eventstore.Condition{Query: eventstore.Query{{Tags: []string{tag}}}}
		})
	})
	b.Run("ReadQuery20", func(b *testing.B) { benchmarkReadQuery(b, open(b)) })
}

// benchmarkAppendIf appends events with two tags, one of them new, on the
// condition that is made of it and the position before. Without condition it is
// a plain append.
func benchmarkAppendIf(b *testing.B, s eventstore.Store, condition func(tag string, last eventstore.Position) eventstore.Condition) {
	c, err := eventstore.AsConditional(s)
	if err != nil {
		b.Fatal(err)
	}
	es := payload(1)
	names := streamNames(1000)
	var last eventstore.Receipt
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tag := fmt.Sprintf("user:%08d", i)
		if es[0].Metadata, err = (eventstore.Metadata{}).WithTags("all", tag); err != nil {
			b.Fatal(err)
		}
		if condition == nil {
			last, err = s.Append(context.Background(), names[i%len(names)], eventstore.Any, es...)
		} else {
			last, err = c.AppendIf(context.Background(), names[i%len(names)], condition(tag, last.Position), es...)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, 1)
}

// benchmarkReadQuery reads the 20 events with one of 1000 tags that lie
// scattered over 1000 streams.
func benchmarkReadQuery(b *testing.B, s eventstore.Store) {
	c, err := eventstore.AsConditional(s)
	if err != nil {
		b.Fatal(err)
	}
	names := streamNames(1000)
	for i := range 20 * len(names) {
		es := payload(1)
		if es[0].Metadata, err = (eventstore.Metadata{}).WithTags(names[i%len(names)], "all"); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Append(context.Background(), names[i*7919%len(names)], eventstore.Any, es...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := 0
		q := eventstore.Query{{Tags: []string{names[i%len(names)]}}}
		for _, err := range c.ReadQuery(context.Background(), q, eventstore.ReadQueryOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 20 {
			b.Fatalf("read %d events, want 20", n)
		}
	}
}

// payload returns n events of 200 bytes without ids.
func payload(n int) []eventstore.Event {
	es := make([]eventstore.Event, n)
	for i := range es {
		es[i] = eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeJSON, Data: make([]byte, 200)}
	}
	return es
}

func benchmarkAppend(b *testing.B, s eventstore.Store, n int) {
	es := payload(n)
	names := streamNames(1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Append(context.Background(), names[i%len(names)], eventstore.Any, es...); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, n)
}

func benchmarkCallers(b *testing.B, s eventstore.Store, callers int) {
	es := payload(1)
	names := streamNames(1000)
	next := make(chan int, 1024)
	b.ResetTimer()
	go func() {
		for i := range b.N {
			next <- i
		}
		close(next)
	}()
	parallel(callers, func(int) {
		for i := range next {
			if _, err := s.Append(context.Background(), names[i%len(names)], eventstore.Any, es...); err != nil {
				b.Error(err)
				return
			}
		}
	})
	perSecond(b, 1)
}

func benchmarkReadStream(b *testing.B, s eventstore.Store) {
	names := streamNames(1000)
	for range 20 {
		fill(b, s, names)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		n := 0
		for _, err := range s.Read(context.Background(), names[i*7919%len(names)], eventstore.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 20 {
			b.Fatalf("read %d events, want 20", n)
		}
		i++
	}
}

const readAllEvents = 200_000

func benchmarkReadAll(b *testing.B, s eventstore.Store) {
	fillMany(b, s)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.ReadAll(context.Background(), eventstore.ReadAllOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != readAllEvents {
			b.Fatalf("read %d events, want %d", n, readAllEvents)
		}
	}
	perSecond(b, readAllEvents)
}

func benchmarkSubscribeAll(b *testing.B, s eventstore.Store) {
	fillMany(b, s)
	b.ReportAllocs()
	for b.Loop() {
		for m, err := range s.SubscribeAll(context.Background(), eventstore.SubscribeAllOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			if m.Kind == eventstore.MessageCaughtUp {
				break
			}
		}
	}
	perSecond(b, readAllEvents)
}

func fillMany(b *testing.B, s eventstore.Store) {
	es := payload(100)
	names := streamNames(1000)
	for i := range readAllEvents / len(es) {
		if _, err := s.Append(context.Background(), names[i%len(names)], eventstore.Any, es...); err != nil {
			b.Fatal(err)
		}
	}
}

// fill appends one event to each stream, many at a time.
func fill(b *testing.B, s eventstore.Store, names []string) {
	es := payload(1)
	parallel(100, func(w int) {
		for i := w; i < len(names); i += 100 {
			if _, err := s.Append(context.Background(), names[i], eventstore.Any, es...); err != nil {
				b.Error(err)
			}
		}
	})
}

func streamNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("order-%06d", i)
	}
	return names
}

func perSecond(b *testing.B, events int) {
	b.ReportMetric(float64(b.N)*float64(events)/b.Elapsed().Seconds(), "events/s")
}
