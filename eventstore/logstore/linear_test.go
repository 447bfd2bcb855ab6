package logstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

const (
	linearStreams = 3
	linearClaims  = 12
)

// A call is what a caller asks of a store in a history.
type call struct {
	stream   int // -1 for the head
	read     bool
	expected eventstore.Expected
	claim    int // above 0: on the condition that nobody has claimed this, instead of expected
	events   int
}

// An answer is what it was told.
type answer struct {
	version  eventstore.Version // of the stream, also in a conflict
	position eventstore.Position
	conflict bool
	unknown  bool // nobody knows whether it was carried out
}

// A counts is a store as far as the calls see it.
type counts struct {
	head     eventstore.Position
	versions [linearStreams]eventstore.Version
	claimed  [linearClaims + 1]bool
}

// linearModel says which answers a store gives that carries out one call after
// the other.
var linearModel = porcupine.Model{
	Init: func() any { return counts{} },
	Step: func(state, input, output any) (bool, any) {
		s, c, a := state.(counts), input.(call), output.(answer)
		switch {
		case c.read && c.stream < 0:
			return a.position == s.head, s
		case c.read:
			return a.version == s.versions[c.stream], s
		}
		if c.claim > 0 && s.claimed[c.claim] {
			return a.unknown || a.conflict && a.version == 0, s
		}
		s.claimed[c.claim] = c.claim > 0
		want, exact := c.expected.Version()
		if exact && want != s.versions[c.stream] {
			return a.unknown || a.conflict && a.version == s.versions[c.stream], s
		}
		s.versions[c.stream] += eventstore.Version(c.events)
		s.head += eventstore.Position(c.events)
		return a.unknown || !a.conflict && a.version == s.versions[c.stream] && a.position == s.head, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// A callHistory is what concurrent callers saw.
type callHistory struct {
	mu    sync.Mutex
	start time.Time
	ops   []porcupine.Operation
}

func (h *callHistory) add(client int, c call, from time.Duration, a answer) {
	to := time.Since(h.start)
	if a.unknown {
		to = math.MaxInt64 // it may take effect at any later time, or never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: c, Call: int64(from), Output: a, Return: int64(to)})
}

// What concurrent callers see could have happened one after the other, also
// when the disk fails, and over a power cut.
func TestTortureLinearizable(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := newRig(t, tiny)
		h := &callHistory{start: time.Now()}
		r.disk.Before(func(op simdisk.Op) { // others get their turn while the leader works
			if op.Kind == simdisk.Sync || op.Kind == simdisk.Write {
				runtime.Gosched()
			}
		})
		if seed%2 == 0 {
			kind := []simdisk.Kind{simdisk.Write, simdisk.Sync}[seed/2%2]
			r.disk.Inject(simdisk.Fault{Kind: kind, Path: "*.log", After: 5 + rnd.IntN(40), Times: 1, Short: rnd.IntN(500)})
		}
		require.NoError(t, r.open())
		callers(t, r.s, h, rnd, 0, 25)
		_ = r.close()
		next := r.crash(r.now(), simdisk.Random(rnd))
		callers(t, next.s, h, rnd, 100, 5)
		next.discard()
		result := porcupine.CheckOperationsTimeout(linearModel, h.ops, time.Minute)
		require.Equal(t, porcupine.Ok, result, "not linearizable: %v", h.ops)
	}
}

// callers lets some clients, numbered from first, make calls.
func callers(t *testing.T, s *logstore.Store, h *callHistory, rnd *rand.Rand, first, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for client := first; client < first+6; client++ {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		wg.Go(func() {
			var known [linearStreams]eventstore.Version
			for range each {
				c := call{stream: rnd.IntN(linearStreams), expected: eventstore.Any, events: 1 + rnd.IntN(3)}
				switch rnd.IntN(6) {
				case 0:
					c.stream, c.read = -1, true
				case 1:
					c.read = true
				case 2, 3:
					c.expected = eventstore.Exact(known[c.stream])
				case 4:
					c.claim = 1 + rnd.IntN(linearClaims)
				}
				from := time.Since(h.start)
				a, ok := c.make(s)
				if !ok {
					continue // it was certainly not carried out
				}
				if c.stream >= 0 && !a.unknown && (c.claim == 0 || !a.conflict) {
					known[c.stream] = a.version
				}
				h.add(client, c, from, a)
			}
		})
	}
	wg.Wait()
}

// make makes the call. It reports false when the store says that it did
// nothing.
func (c call) make(s *logstore.Store) (answer, bool) {
	ctx := context.Background()
	stream := fmt.Sprintf("s-%d", c.stream)
	switch {
	case c.read && c.stream < 0:
		head, err := s.Head(ctx)
		return answer{position: head}, err == nil
	case c.read:
		for r, err := range s.Read(ctx, stream, eventstore.ReadOptions{Backwards: true, Limit: 1}) {
			return answer{version: r.Version}, err == nil || errors.Is(err, eventstore.ErrStreamNotFound)
		}
		return answer{}, false
	}
	var r eventstore.Receipt
	var err error
	if es := events(c.events); c.claim > 0 {
		tag := fmt.Sprint("claim:", c.claim)
		es[c.events-1].Metadata = withTags(eventstore.Metadata{}, tag)
		r, err = s.AppendIf(ctx, stream, eventstore.Condition{Query: eventstore.Query{{Tags: []string{tag}}}}, es...)
	} else {
		r, err = s.Append(ctx, stream, c.expected, es...)
	}
	var conflict *eventstore.ConflictError
	var claimed *eventstore.ConditionError
	switch {
	case errors.As(err, &claimed):
		return answer{conflict: true}, true
	case errors.As(err, &conflict):
		return answer{version: conflict.Actual, conflict: true}, true
	case err != nil:
		return answer{unknown: true}, uncertain(err)
	}
	return answer{version: r.Version, position: r.Position}, true
}
