package projection

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// leave takes note of a lane that has ended, or goes to another reader, and
// reports whether it was here; of several who say so one is right. Without lanes
// the reader ends. It takes no lock, as the reader may wait for room in the
// lane's queue.
func (rd *reader) leave(l *lane) bool {
	if !l.reader.CompareAndSwap(rd, nil) {
		return false
	}
	if rd.count.Add(-1) == 0 {
		rd.stop()
	}
	return true
}

// enter makes a lane, which was counted, one of this reader. A lane that has
// ended before it could know leaves at once.
func (rd *reader) enter(l *lane) {
	l.reader.Store(rd)
	select {
	case <-l.queue.ended:
		rd.leave(l)
	default:
	}
}

// reserve counts lanes that are about to join, unless the reader is ending.
func (rd *reader) reserve(lanes int) bool {
	for {
		n := rd.count.Load()
		if n == 0 {
			return false
		}
		if rd.count.CompareAndSwap(n, n+int32(lanes)) {
			return true
		}
	}
}

// lockSoon is lock for those who can do without: a reader may hold its lock for
// as long as a view store hangs.
func (rd *reader) lockSoon() bool {
	rd.wanted.Add(1)
	defer rd.wanted.Add(-1)
	for range 50 {
		if rd.mu.TryLock() {
			return true
		}
		time.Sleep(lockPause)
	}
	return false
}

// adopt adds lanes that have everything up to their pushed positions, if this
// reader is level and remembers what they lack.
func (rd *reader) adopt(ctx context.Context, lanes []*lane) bool {
	if !rd.lockSoon() {
		return false
	}
	defer rd.mu.Unlock()
	if rd.stopped || !rd.live {
		return false
	}
	low := rd.pos
	for _, l := range lanes {
		low = min(low, l.pushed)
	}
	if low < rd.recent.after || !rd.reserve(len(lanes)) {
		return false
	}
	added := portsOf(lanes)
	for ev := range rd.recent.since(low) {
		for _, pt := range added {
			if rd.route(ctx, pt, ev) != nil {
				break // ctx is done, and so are the lanes
			}
		}
	}
	for _, pt := range added {
		for i := range pt.lanes {
			_ = rd.push(ctx, pt, i, rd.pos) // as above
		}
		rd.join(pt)
		pt.pl.caughtUp(rd.pos)
	}
	return true
}

// join makes the lanes of a port ones of this reader.
func (rd *reader) join(pt *port) {
	for _, l := range pt.lanes {
		if l != nil {
			rd.enter(l)
		}
	}
	for _, there := range rd.ports {
		if there.pl != pt.pl {
			continue
		}
		for i, l := range pt.lanes {
			if l != nil {
				there.lanes[i], there.pending[i] = l, nil
			}
		}
		return
	}
	rd.ports = append(rd.ports, pt)
}

// portsOf groups lanes by what they work at.
func portsOf(lanes []*lane) []*port {
	var ports []*port
	for _, l := range lanes {
		i := slices.IndexFunc(ports, func(pt *port) bool { return pt.pl == l.pl })
		if i < 0 {
			i = len(ports)
			n := l.pl.version.Partitions
			ports = append(ports, &port{pl: l.pl, lanes: make([]*lane, n), pending: make([][]item, n)})
		}
		ports[i].lanes[l.index] = l
	}
	return ports
}

func (rd *reader) laneList() []*lane {
	var all []*lane
	for _, pt := range rd.ports {
		for _, l := range pt.lanes {
			if l != nil {
				all = append(all, l)
			}
		}
	}
	return all
}

// recent remembers the last events that a reader has routed, for lanes that
// come from another reader.
type recent struct {
	after eventstore.Position // all after it are here
	ring  []remembered
	next  int
}

// remembered has the position beside the event, because the event itself has
// long left the cache of the processor when it is forgotten.
type remembered struct {
	at eventstore.Position
	ev *shared
}

const recentLength = 1024

func (r *recent) add(ev *shared, at eventstore.Position) {
	if len(r.ring) < recentLength {
		r.ring = append(r.ring, remembered{at, ev})
		return
	}
	r.after = r.ring[r.next].at
	r.ring[r.next] = remembered{at, ev}
	if r.next++; r.next == recentLength {
		r.next = 0
	}
}

// since yields what came after a position, in order.
func (r *recent) since(p eventstore.Position) iter.Seq[*shared] {
	return func(yield func(*shared) bool) {
		for i := range r.ring {
			m := r.ring[(r.next+i)%len(r.ring)]
			if m.at > p && !yield(m.ev) {
				return
			}
		}
	}
}
