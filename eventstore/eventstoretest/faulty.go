package eventstoretest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// ErrInjected is the cause of every error that a [Faulty] makes up.
var ErrInjected = errors.New("eventstoretest: injected failure")

// A Faulty is a store that fails when it is told to, and otherwise does what
// the store inside does. The made-up errors are an
// [*eventstore.UnavailableError] whose cause is [ErrInjected]. It is safe for
// concurrent use.
type Faulty struct {
	eventstore.Store

	mu      sync.Mutex
	appends map[int]bool // by number of the append from now: whether it is written
	reads   []int        // after how many events the next sequences fail
}

// NewFaulty returns a Faulty around s that does not fail yet.
func NewFaulty(s eventstore.Store) *Faulty { return &Faulty{Store: s} }

// FailAppend lets the nth call of Append from now (1 is the next) fail with an
// uncertain error. The events are written all the same when written is set.
func (f *Faulty) FailAppend(n int, written bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.appends == nil {
		f.appends = make(map[int]bool)
	}
	f.appends[n] = written
}

// FailRead lets the next sequence that is begun, of any of the methods,
// yield n events and then fail. Several calls speak of several sequences.
func (f *Faulty) FailRead(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, n)
}

// Append fails as [Faulty.FailAppend] said.
func (f *Faulty) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	return f.append(func() (eventstore.Receipt, error) { return f.Store.Append(ctx, stream, expected, events...) })
}

// AppendIf fails as [Faulty.FailAppend] said, of whose calls it is one too, and
// with an [*eventstore.UnsupportedError] if the store inside cannot.
func (f *Faulty) AppendIf(ctx context.Context, stream string, c eventstore.Condition, events ...eventstore.Event) (eventstore.Receipt, error) {
	inner, err := eventstore.AsConditional(f.Store)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	return f.append(func() (eventstore.Receipt, error) { return inner.AppendIf(ctx, stream, c, events...) })
}

func (f *Faulty) append(do func() (eventstore.Receipt, error)) (eventstore.Receipt, error) {
	written, fails := f.nextAppend()
	if !fails {
		return do()
	}
	if written {
		if r, err := do(); err != nil {
			return r, err
		}
	}
	return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: ErrInjected}
}

func (f *Faulty) nextAppend() (written, fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := make(map[int]bool, len(f.appends))
	for n, w := range f.appends {
		if n <= 1 {
			written, fails = w, true
		} else {
			left[n-1] = w
		}
	}
	f.appends = left
	return written, fails
}

// Read fails as [Faulty.FailRead] said.
func (f *Faulty) Read(ctx context.Context, stream string, opts eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return faulty(f, f.Store.Read(ctx, stream, opts), isEvent)
}

// ReadAll fails as [Faulty.FailRead] said.
func (f *Faulty) ReadAll(ctx context.Context, opts eventstore.ReadAllOptions) iter.Seq2[eventstore.Recorded, error] {
	return faulty(f, f.Store.ReadAll(ctx, opts), isEvent)
}

// ReadQuery fails as [Faulty.FailRead] said, and with an
// [*eventstore.UnsupportedError] if the store inside cannot.
func (f *Faulty) ReadQuery(ctx context.Context, q eventstore.Query, opts eventstore.ReadQueryOptions) iter.Seq2[eventstore.Recorded, error] {
	inner, err := eventstore.AsConditional(f.Store)
	if err != nil {
		return func(yield func(eventstore.Recorded, error) bool) { yield(eventstore.Recorded{}, err) }
	}
	return faulty(f, inner.ReadQuery(ctx, q, opts), isEvent)
}

// Subscribe fails as [Faulty.FailRead] said.
func (f *Faulty) Subscribe(ctx context.Context, stream string, opts eventstore.SubscribeOptions) iter.Seq2[eventstore.Message, error] {
	return faulty(f, f.Store.Subscribe(ctx, stream, opts), bringsEvent)
}

// SubscribeAll fails as [Faulty.FailRead] said.
func (f *Faulty) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return faulty(f, f.Store.SubscribeAll(ctx, opts), bringsEvent)
}

func isEvent(eventstore.Recorded) bool { return true }

func bringsEvent(m eventstore.Message) bool { return m.Kind == eventstore.MessageEvent }

// nextRead returns after how many events the next sequence fails, -1 for never.
func (f *Faulty) nextRead() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reads) == 0 {
		return -1
	}
	n := f.reads[0]
	f.reads = f.reads[1:]
	return n
}

// faulty yields what seq does until it has seen its number of events, or seq
// ends, and then fails.
func faulty[T any](f *Faulty, seq iter.Seq2[T, error], event func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := f.nextRead()
		if left < 0 {
			seq(yield)
			return
		}
		var zero T
		injected := &eventstore.UnavailableError{Op: "read", Err: ErrInjected}
		if left == 0 {
			yield(zero, injected)
			return
		}
		for v, err := range seq {
			if event(v) {
				left--
			}
			if !yield(v, err) || err != nil {
				return
			}
			if left == 0 {
				break
			}
		}
		yield(zero, injected)
	}
}
