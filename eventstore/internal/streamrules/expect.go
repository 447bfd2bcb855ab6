package streamrules

import (
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// check compares the stream with what o expects. It reports done with the
// first receipt when o repeats an earlier append.
func (o *Op) check(v View, s State) (p Plan, done bool, err error) {
	switch {
	case o.Expected == eventstore.StreamExists && !o.exists(v, s):
		return Plan{}, false, o.conflict(s)
	case o.Expected == eventstore.Any || o.Expected == eventstore.StreamExists:
		return o.checkRecent(v, s)
	case o.Expected < 0:
		return Plan{}, false, &eventstore.InvalidError{What: "expected version", Value: o.Expected.String(), Remedy: "use Any, NoStream, StreamExists or Exact"}
	}
	switch want, _ := o.Expected.Version(); {
	case want > s.Last:
		return Plan{}, false, o.conflict(s)
	case want < s.Last:
		return o.checkEarlier(v, s, want)
	}
	return Plan{}, false, nil
}

func (o *Op) exists(v View, s State) bool {
	if s.SoftDeleted() {
		return false
	}
	return s.Last > 0 || v.State(eventstore.MetadataStream(o.Stream)).Last > 0
}

// checkRecent finds a repetition among the ids that the store remembers: the
// first id decides whether it is one, and then all must be known.
func (o *Op) checkRecent(v View, s State) (Plan, bool, error) {
	var last Place
	for i := range o.Events {
		id := o.Events[i].ID
		place, ok := Place{}, false
		if !id.IsZero() {
			var err error
			if place, ok, err = v.Recent(id); err != nil {
				return Plan{}, false, err
			}
		}
		switch known := ok && place.Stream == o.Stream; {
		case known:
			last = place
		case i == 0:
			return Plan{}, false, nil
		default:
			return Plan{}, false, o.conflict(s)
		}
	}
	if last.Version == 0 {
		return Plan{}, false, nil
	}
	return o.repeated(last.Version, last.Position), true, nil
}

// checkEarlier compares the ids with those of the events that follow version
// want, which the stream is beyond.
func (o *Op) checkEarlier(v View, s State, want eventstore.Version) (Plan, bool, error) {
	var pos eventstore.Position
	at := want
	for i := range o.Events {
		at++
		var id eventstore.ID
		if at <= s.Last {
			var err error
			if id, pos, err = v.EventAt(o.Stream, at); err != nil {
				return Plan{}, false, err
			}
		}
		switch {
		case !id.IsZero() && id == o.Events[i].ID:
		case i == 0 && want == 0 && s.SoftDeleted():
			return Plan{}, false, nil
		default:
			return Plan{}, false, o.conflict(s)
		}
	}
	if at > want {
		return o.repeated(at, pos), true, nil
	}
	if o.Kind != Append && want == 0 && s.SoftDeleted() {
		return Plan{}, false, nil // a deleted stream is no stream
	}
	return Plan{}, false, o.conflict(s)
}

// checkCondition looks for the first event that must not be there. If o repeats
// an earlier append whose condition held, it is one of o's own.
func (o *Op) checkCondition(v View, s State) (Plan, bool, error) {
	found, ok, err := v.First(o.Condition.Query, o.Condition.After)
	if err != nil || !ok {
		return Plan{}, false, err
	}
	own := slices.IndexFunc(o.Events, func(e eventstore.Event) bool { return e.ID == found.ID })
	refused := &eventstore.ConditionError{Stream: o.Stream, Condition: *o.Condition, Position: found.Position}
	if own < 0 || found.Stream != o.Stream || found.Version <= eventstore.Version(own) {
		return Plan{}, false, refused
	}
	first, pos := found.Version-eventstore.Version(own), found.Position
	for i := range o.Events {
		at := first + eventstore.Version(i)
		if at > s.Last {
			return Plan{}, false, refused
		}
		var id eventstore.ID
		if id, pos, err = v.EventAt(o.Stream, at); err != nil {
			return Plan{}, false, err
		}
		if id != o.Events[i].ID {
			return Plan{}, false, refused
		}
	}
	return o.repeated(first+eventstore.Version(len(o.Events))-1, pos), true, nil
}

func (o *Op) repeated(v eventstore.Version, p eventstore.Position) Plan {
	return Plan{Receipt: eventstore.Receipt{Stream: o.Stream, Version: v, Position: p, Repeated: true}}
}

func (o *Op) conflict(s State) error {
	return &eventstore.ConflictError{Stream: o.Stream, Expected: o.Expected, Actual: s.Last}
}
