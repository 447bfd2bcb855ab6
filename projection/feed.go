package projection

import (
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A feed tells waiters in this process how far each partition of a view is.
// The zero value knows nothing yet.
type feed struct {
	mu      sync.Mutex
	reached []eventstore.Position // per partition; nil while nobody follows the view here
	waiting []chan struct{}       // per partition, closed by the next progress; nil without waiters
	anyone  chan struct{}         // closed by progress of any partition
}

// reset starts over, as after a switch of versions, and wakes everybody.
func (f *feed) reset(reached []eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached = slices.Clone(reached)
	old := f.waiting
	f.waiting = make([]chan struct{}, len(reached))
	for _, ch := range old {
		if ch != nil {
			close(ch)
		}
	}
	f.wakeAnyone()
}

// publish says that a partition has reached p.
func (f *feed) publish(partition int, p eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if partition >= len(f.reached) || f.reached[partition] >= p {
		return
	}
	f.reached[partition] = p
	if ch := f.waiting[partition]; ch != nil {
		close(ch)
		f.waiting[partition] = nil
	}
	f.wakeAnyone()
}

func (f *feed) wakeAnyone() {
	if f.anyone != nil {
		close(f.anyone)
		f.anyone = nil
	}
}

// at returns how far the partition of key is, 0 when that is not known here,
// and a channel that is closed when that changes.
func (f *feed) at(key string) (eventstore.Position, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reached) == 0 {
		return 0, f.any()
	}
	p := PartitionOf(key, len(f.reached))
	if f.waiting[p] == nil {
		f.waiting[p] = make(chan struct{})
	}
	return f.reached[p], f.waiting[p]
}

// lowest returns how far the slowest partition is, and a channel that is
// closed when any partition moves.
func (f *feed) lowest() (eventstore.Position, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reached) == 0 {
		return 0, f.any()
	}
	return slices.Min(f.reached), f.any()
}

func (f *feed) any() <-chan struct{} {
	if f.anyone == nil {
		f.anyone = make(chan struct{})
	}
	return f.anyone
}

// known reports whether the view is followed in this process.
func (f *feed) known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reached) > 0
}

func (f *feed) snapshot() []eventstore.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reached)
}
