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
	owner   *pipeline             // who may publish; another version's progress would be another's
	reached []eventstore.Position // per partition; nil while nobody follows the view here
	waiting []chan struct{}       // per partition, closed by the next progress; nil without waiters
	anyone  chan struct{}         // closed by progress of any partition
}

// reset starts over, as after a switch of versions, and wakes everybody.
func (f *feed) reset(owner *pipeline, reached []eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restart(owner, reached)
}

// leave forgets what owner has published, unless another has taken over.
func (f *feed) leave(owner *pipeline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner == owner {
		f.restart(nil, nil)
	}
}

func (f *feed) restart(owner *pipeline, reached []eventstore.Position) {
	f.owner = owner
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
func (f *feed) publish(owner *pipeline, partition int, p eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner != owner || partition >= len(f.reached) || f.reached[partition] >= p {
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

// follows reports whether what is told here is about a version.
func (f *feed) follows(version int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owner != nil && f.owner.version.Number == version
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
