package streamrules

// Waiters are the subscriptions that wait for something new, of all streams or
// of one. The store's own lock guards it. The zero value is empty.
type Waiters struct {
	all     chan struct{}
	streams map[string]*streamWaiters
}

type streamWaiters struct {
	changed chan struct{}
	n       int
}

// All returns a channel that is closed by the next [Waiters.Wake].
func (w *Waiters) All() <-chan struct{} {
	if w.all == nil {
		w.all = make(chan struct{})
	}
	return w.all
}

// Stream returns a channel that is closed by the next [Waiters.WakeStream].
// Who no longer waits must call [Waiters.Leave].
func (w *Waiters) Stream(stream string) <-chan struct{} {
	s := w.streams[stream]
	if s == nil {
		if w.streams == nil {
			w.streams = make(map[string]*streamWaiters)
		}
		s = &streamWaiters{changed: make(chan struct{})}
		w.streams[stream] = s
	}
	s.n++
	return s.changed
}

// Leave forgets one who waited for changed, got from [Waiters.Stream].
func (w *Waiters) Leave(stream string, changed <-chan struct{}) {
	s := w.streams[stream]
	if s == nil || s.changed != changed {
		return // woken in the meantime
	}
	if s.n--; s.n == 0 {
		delete(w.streams, stream)
	}
}

// Wake wakes those who wait for any stream.
func (w *Waiters) Wake() {
	if w.all != nil {
		close(w.all)
		w.all = nil
	}
}

// WakeStream wakes those who wait for a stream.
func (w *Waiters) WakeStream(stream string) {
	if len(w.streams) == 0 {
		return
	}
	if s := w.streams[stream]; s != nil {
		close(s.changed)
		delete(w.streams, stream)
	}
}
