package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Rebuild asks a running application to rebuild a view, see [Runner.Rebuild],
// and waits for the end. progress, if not nil, is called a few times a second by
// this goroutine. When ctx is done the application goes on; [Admin.CancelRebuild]
// ends it. It returns [ErrNotServed] if no application takes the request.
func (a *Admin) Rebuild(ctx context.Context, view string, progress func(Progress)) (RebuildResult, error) {
	reply, err := a.ask(ctx, view, Request{Kind: RequestRebuild, Partition: -1}, progress)
	if reply.Result == nil {
		return RebuildResult{View: view}, err
	}
	return *reply.Result, err
}

// CancelRebuild ends the rebuild of a view, whichever application is at it.
// What is filled stays, and the next rebuild goes on from there.
func (a *Admin) CancelRebuild(ctx context.Context, view string) error {
	_, err := a.ask(ctx, view, Request{Kind: RequestCancelRebuild, Partition: -1}, nil)
	if errors.Is(err, ErrNotServed) {
		return fmt.Errorf("cancel the rebuild of view %q: %w: no application is at one", view, ErrNotRunning)
	}
	return err
}

// SkipTo has a view never apply the events up to a position, see
// [Runner.SkipTo].
func (a *Admin) SkipTo(ctx context.Context, view string, position eventstore.Position) error {
	_, err := a.ask(ctx, view, Request{Kind: RequestSkipTo, Partition: -1, Position: position}, nil)
	return err
}

// RebuildKeys folds what a view holds under some keys anew, see
// [Runner.RebuildKeys]. The applications that have the keys' partitions do it.
func (a *Admin) RebuildKeys(ctx context.Context, view string, keys ...string) error {
	if _, err := a.versions(ctx, view); err != nil {
		return err
	}
	v, err := a.store.Active(ctx, view)
	if err != nil {
		return err
	}
	byPartition := make(map[int][]string)
	for _, key := range keys {
		p := PartitionOf(key, v.Partitions)
		byPartition[p] = append(byPartition[p], key)
	}
	var errs []error
	for p, keys := range byPartition {
		_, err := a.ask(ctx, view, Request{Kind: RequestRebuildKeys, Partition: p, Keys: keys}, nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// RebuildStream folds what the events of a stream change in a view anew, see
// [Runner.RebuildStream].
func (a *Admin) RebuildStream(ctx context.Context, view, stream string) error {
	_, err := a.ask(ctx, view, Request{Kind: RequestRebuildStream, Partition: -1, Stream: stream}, nil)
	return err
}

// RetryParked has the parked events of a stream tried again in all partitions,
// see [Runner.RetryParked]. It returns [ErrNotParked] if there are none.
func (a *Admin) RetryParked(ctx context.Context, view, stream string) error {
	return a.askParked(ctx, view, stream, RequestRetryParked)
}

// DropParked gives up the first parked event of a stream in all partitions and
// has the ones behind it tried, see [Runner.DropParked].
func (a *Admin) DropParked(ctx context.Context, view, stream string) error {
	return a.askParked(ctx, view, stream, RequestDropParked)
}

func (a *Admin) askParked(ctx context.Context, view, stream string, kind RequestKind) error {
	parked, err := a.Parked(ctx, view)
	if err != nil {
		return err
	}
	found := false
	var errs []error
	for _, ps := range parked {
		if ps.Stream != stream {
			continue
		}
		found = true
		_, err := a.ask(ctx, view, Request{Kind: kind, Partition: ps.Partition, Stream: stream}, nil)
		errs = append(errs, err)
	}
	if !found {
		return fmt.Errorf("%w: stream %q in view %q", ErrNotParked, stream, view)
	}
	return errors.Join(errs...)
}

// ask puts a request on the board and waits until it is done.
func (a *Admin) ask(ctx context.Context, view string, r Request, progress func(Progress)) (Reply, error) {
	if _, err := a.versions(ctx, view); err != nil {
		return Reply{}, err
	}
	r.ID, r.At = eventstore.NewID().String(), time.Now().UTC()
	data, err := json.Marshal(r)
	if err != nil {
		return Reply{}, err
	}
	if err := a.store.PutNote(ctx, view, requestNote+r.ID, data, requestTTL); err != nil {
		return Reply{}, err
	}
	reply, err := a.follow(ctx, view, r, progress)
	if err != nil {
		// Nobody shall begin with what nobody waits for any more.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = a.store.PutNote(ctx, view, requestNote+r.ID, nil, 0) // it expires anyway
		return reply, fmt.Errorf("%s of view %q: %w", r.Kind, view, err)
	}
	if reply.Error != "" {
		return reply, fmt.Errorf("%s says: %s", reply.Owner, reply.Error)
	}
	return reply, nil
}

// nobodyTime is how long a request waits while no runner shows any sign of life.
const nobodyTime = 2 * time.Second

// follow waits for the end of a request.
func (a *Admin) follow(ctx context.Context, view string, r Request, progress func(Progress)) (last Reply, err error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		if err := pause(ctx, nil, wait); err != nil {
			return last, err
		}
		notes, err := a.store.Notes(ctx, view)
		if err != nil {
			return last, err
		}
		data, replied := notes[replyNote+r.ID]
		switch {
		case replied:
			var reply Reply
			if err := json.Unmarshal(data, &reply); err != nil {
				return last, fmt.Errorf("reply of a runner: %w", err)
			}
			if reply.Progress != nil && progress != nil && (last.Progress == nil || *last.Progress != *reply.Progress) {
				progress(*reply.Progress)
			}
			if last = reply; reply.Done {
				_ = a.store.PutNote(ctx, view, replyNote+r.ID, nil, 0) // it expires anyway
				return reply, nil
			}
		case last.ID != "":
			return last, fmt.Errorf("%s was at it and has gone silent: %w", last.Owner, ErrNotServed)
		case notes[requestNote+r.ID] == nil && time.Since(r.At) > requestTTL,
			notes[requestNote+r.ID] != nil && len(runnersIn(notes)) == 0 && time.Since(r.At) > nobodyTime:
			return last, a.unserved(notes, r)
		}
	}
}

func (a *Admin) unserved(notes map[string][]byte, r Request) error {
	runners := runnersIn(notes)
	switch {
	case len(runners) == 0:
		return fmt.Errorf("%w: no application that follows it is running", ErrNotServed)
	case notes[pausedNote] != nil && r.Partition >= 0:
		return fmt.Errorf("%w: it is paused; resume it first", ErrNotServed)
	}
	return fmt.Errorf("%w: %d applications follow it, the first in state %q", ErrNotServed, len(runners), runners[0].State)
}
