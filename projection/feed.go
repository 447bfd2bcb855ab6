package projection

import (
	"container/heap"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A feed tells waiters in this process how far each partition of a version of
// a view is. A waiter is woken by the commit that it waits for, and by no other.
// The zero value knows nothing yet.
type feed struct {
	mu       sync.Mutex
	owner    *pipeline // who may publish; another version's progress would be another's
	version  int       // 0 while it is not known
	parts    []partition
	anyone   chan struct{} // closed by progress of any partition
	replaced []*waiter     // who came before the version was known
}

// partition is what a feed knows of one.
type partition struct {
	here    bool // a lane of this process publishes its progress
	reached eventstore.Position
	waiters waiters
	changed chan struct{} // closed by the next progress; nil without watchers
}

// waiter waits until a partition has reached a position. done is closed then,
// or when the feed is about another version.
type waiter struct {
	want  eventstore.Position
	done  chan struct{}
	part  int // -1 while the version is not known
	index int // in the heap, -1 when it is in none
}

// waiters is a heap: the lowest position first.
type waiters []*waiter

func (h waiters) Len() int           { return len(h) }
func (h waiters) Less(i, j int) bool { return h[i].want < h[j].want }
func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(*h)
	*h = append(*h, w)
}
func (h *waiters) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.index = -1
	return w
}

// restart starts over with another version, and wakes everybody.
func (f *feed) restart(owner *pipeline, version, partitions int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restartLocked(owner, version, partitions)
}

func (f *feed) restartLocked(owner *pipeline, version, partitions int) {
	for i := range f.parts {
		p := &f.parts[i]
		for _, w := range p.waiters {
			w.index = -1
			close(w.done)
		}
		p.wakeWatchers()
	}
	for _, w := range f.replaced {
		close(w.done)
	}
	f.owner, f.version, f.replaced = owner, version, nil
	f.parts = make([]partition, partitions)
	f.wakeAnyone()
}

// leave forgets what owner has published, unless another has taken over.
func (f *feed) leave(owner *pipeline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner == owner {
		f.restartLocked(nil, 0, 0)
	}
}

// enter says that owner publishes the progress of a partition from now on.
func (f *feed) enter(owner *pipeline, part int, p eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner == owner && part < len(f.parts) {
		f.parts[part].here = true
		f.advance(part, p)
	}
}

// exit says that another process may work at a partition now.
func (f *feed) exit(owner *pipeline, part int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner != owner || part >= len(f.parts) {
		return
	}
	p := &f.parts[part]
	p.here = false
	for len(p.waiters) > 0 { // to look elsewhere
		close(heap.Pop(&p.waiters).(*waiter).done)
	}
	p.wakeWatchers()
	f.wakeAnyone()
}

// publish says that a partition has reached p.
func (f *feed) publish(owner *pipeline, part int, p eventstore.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner == owner && part < len(f.parts) {
		f.advance(part, p)
	}
}

// observe says what the view store knows of a version.
func (f *feed) observe(version int, checkpoints []Checkpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version != version || len(f.parts) != len(checkpoints) {
		if f.owner != nil {
			return // its owner will notice
		}
		f.restartLocked(nil, version, len(checkpoints))
	}
	for i, ck := range checkpoints {
		f.advance(i, ck.Position)
	}
}

func (f *feed) advance(part int, reached eventstore.Position) {
	p := &f.parts[part]
	if p.reached >= reached {
		return
	}
	p.reached = reached
	for len(p.waiters) > 0 && p.waiters[0].want <= reached {
		close(heap.Pop(&p.waiters).(*waiter).done)
	}
	p.wakeWatchers()
	f.wakeAnyone()
}

func (p *partition) wakeWatchers() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (f *feed) wakeAnyone() {
	if f.anyone != nil {
		close(f.anyone)
		f.anyone = nil
	}
}

// wait returns a waiter for a partition, as place says, which the caller must
// cancel. It is done at once if the partition is that far.
func (f *feed) wait(place func(partitions int) int, want eventstore.Position) *waiter {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &waiter{want: want, done: make(chan struct{}), part: -1, index: -1}
	if len(f.parts) == 0 {
		f.replaced = append(f.replaced, w)
		return w
	}
	w.part = place(len(f.parts))
	if p := &f.parts[w.part]; p.reached < want {
		heap.Push(&p.waiters, w)
	} else {
		close(w.done)
	}
	return w
}

func (f *feed) cancel(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.part < 0 {
		if i := slices.Index(f.replaced, w); i >= 0 {
			f.replaced = slices.Delete(f.replaced, i, i+1)
		}
	} else if w.index >= 0 {
		heap.Remove(&f.parts[w.part].waiters, w.index)
	}
}

// at returns how far a partition is, of which version, and whether a lane of
// this process says so.
func (f *feed) at(place func(partitions int) int) (reached eventstore.Position, version int, here bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.parts) == 0 {
		return 0, 0, false
	}
	p := &f.parts[place(len(f.parts))]
	return p.reached, f.version, p.here
}

// watch returns a channel that is closed by the next progress of a partition,
// and whether a lane of this process makes it.
func (f *feed) watch(key string) (changed <-chan struct{}, here bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.parts) == 0 {
		return f.any(), false
	}
	p := &f.parts[PartitionOf(key, len(f.parts))]
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed, p.here
}

// lowest returns how far the slowest partition is, whether lanes of this
// process work at all of them, and a channel that is closed when any moves.
func (f *feed) lowest() (low eventstore.Position, here bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.parts) == 0 {
		return 0, false, f.any()
	}
	low, here = f.parts[0].reached, true
	for i := range f.parts {
		low, here = min(low, f.parts[i].reached), here && f.parts[i].here
	}
	return low, here, f.any()
}

func (f *feed) any() <-chan struct{} {
	if f.anyone == nil {
		f.anyone = make(chan struct{})
	}
	return f.anyone
}

// copyTo has another feed know what this one knows of lanes.
func (f *feed) copyTo(other *feed, owner *pipeline, version int) {
	f.mu.Lock()
	parts := slices.Clone(f.parts)
	f.mu.Unlock()
	other.restart(owner, version, len(parts))
	for i := range parts {
		if parts[i].here {
			other.enter(owner, i, parts[i].reached)
		}
	}
}
