package aggregate

import (
	"github.com/foldstream/foldstream/eventstore"
)

// Of a history this long decoding is what takes the time, and it can be done
// for events out of turn.
const (
	aheadFrom = 128 // events that are folded as they come
	aheadSize = 128 // events that are decoded at a time
)

// ahead decodes a part of a long history in another goroutine while the loader
// reads and decodes the next part.
type ahead[S, E any] struct {
	first, second *part
	flying        bool // first is being decoded, or was
}

// A part is consecutive events.
type part struct {
	events   []eventstore.Recorded
	values   []any // of as many as could be decoded
	err      error // of the next one
	panicked *PanicError
	done     chan struct{}
}

func (p *part) decode(codec eventstore.Codec) {
	for i := range p.events {
		v, err := codec.Decode(p.events[i])
		if err != nil {
			p.err = err
			return
		}
		p.values = append(p.values, v)
	}
}

// fly decodes in another goroutine.
func (p *part) fly(codec eventstore.Codec) {
	go func() {
		defer func() {
			if v := recover(); v != nil {
				p.panicked = newPanic(v)
			}
			p.done <- struct{}{}
		}()
		p.decode(codec)
	}()
}

func (p *part) reset() {
	clear(p.events)
	clear(p.values)
	p.events, p.values, p.err, p.panicked = p.events[:0], p.values[:0], nil, nil
}

func newPart() *part {
	return &part{events: make([]eventstore.Recorded, 0, aheadSize), values: make([]any, 0, aheadSize), done: make(chan struct{}, 1)}
}

// add takes the next event. It folds what is decoded when there is much of it.
func (a *ahead[S, E]) add(r *Repository[S, E], s *S, rec eventstore.Recorded) error {
	if a.first == nil {
		a.first, a.second = newPart(), newPart()
	}
	p := a.first
	if a.flying {
		p = a.second
	}
	p.events = append(p.events, rec)
	switch {
	case len(p.events) < aheadSize:
		return nil
	case !a.flying:
		a.flying = true
		p.fly(r.codec)
		return nil
	}
	err := a.fold(r, s)
	if err != nil {
		a.clear()
	}
	return err
}

// fold applies all events that were added to s, in their order.
func (a *ahead[S, E]) fold(r *Repository[S, E], s *S) error {
	if a.first == nil {
		return nil
	}
	if a.flying {
		a.second.decode(r.codec)
		a.wait()
	} else {
		a.first.decode(r.codec)
	}
	for _, p := range []*part{a.first, a.second} {
		if p.panicked != nil {
			panic(p.panicked)
		}
		for i, v := range p.values {
			if err := r.apply(s, &p.events[i], v); err != nil {
				return err
			}
		}
		if p.err != nil {
			return p.err
		}
		p.reset()
	}
	return nil
}

// wait returns when no other goroutine decodes.
func (a *ahead[S, E]) wait() {
	if a.flying {
		<-a.first.done
		a.flying = false
	}
}

func (a *ahead[S, E]) clear() {
	if a.first != nil {
		a.first.reset()
		a.second.reset()
	}
}
