package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"github.com/foldstream/foldstream/eventstore"
)

// Errors of groups, to branch on with [errors.Is].
var (
	ErrGroupNotFound = errors.New("esdbstore: consumer group not found")
	ErrGroupExists   = errors.New("esdbstore: consumer group exists")
	ErrGroupFull     = errors.New("esdbstore: consumer group takes no further consumer")
)

// A GroupError names the group that an operation failed on. It matches
// [ErrGroupNotFound], [ErrGroupExists] or [ErrGroupFull], which is in Err, or
// says what the server said.
type GroupError struct {
	Stream string // $all for all streams
	Group  string
	Err    error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("group %q of stream %q: %v", e.Group, e.Stream, e.Err)
}

// Unwrap returns the cause.
func (e *GroupError) Unwrap() error { return e.Err }

// all is the name under which the server knows groups on all streams.
const all = "$all"

// A Group is a persistent subscription: the server keeps who has handled what,
// and hands the events of a stream, or of all, to the consumers of the group, each
// event to one of them and at least once. It is safe for concurrent use.
type Group struct {
	store  *Store
	stream string
	name   string
}

// Group returns a handle on the group of a name on a stream, or on all streams
// when stream is empty or $all. It asks nothing: [Group.Create] makes the group.
func (s *Store) Group(stream, name string) *Group {
	if stream == "" {
		stream = all
	}
	return &Group{store: s, stream: stream, name: name}
}

// Create makes the group. A nil opts means the defaults. The stream need not
// exist. An existing group is a [*GroupError] with [ErrGroupExists]. It needs
// the rights of an operator.
func (g *Group) Create(ctx context.Context, opts *GroupOptions) error {
	o := opts.withDefaults()
	settings, err := o.settings()
	if err != nil {
		return err
	}
	filter, err := o.filter(g)
	if err != nil {
		return err
	}
	return g.do(ctx, "create", func(ctx context.Context, c *esdb.Client) error {
		if g.stream == all {
			return c.CreatePersistentSubscriptionToAll(ctx, g.name, esdb.PersistentAllSubscriptionOptions{
				Settings: settings, StartFrom: o.allStart(), Filter: filter,
			})
		}
		return c.CreatePersistentSubscription(ctx, g.stream, g.name, esdb.PersistentStreamSubscriptionOptions{
			Settings: settings, StartFrom: o.streamStart(),
		})
	})
}

// Update changes the settings of the group, all of them; consumers connect
// again. Where it begins counts only as long as the group has no checkpoint.
// The filter stays as it was created. FromEnd is refused for all streams, because the
// official client would send the beginning instead.
func (g *Group) Update(ctx context.Context, opts *GroupOptions) error {
	o := opts.withDefaults()
	settings, err := o.settings()
	if err != nil {
		return err
	}
	if o.FromEnd {
		if g.stream == all {
			return &eventstore.InvalidError{What: "start of group", Value: "the end", Remedy: "name a position: the official client would send the beginning"}
		}
		v, err := g.store.version(ctx, g.stream)
		if err != nil {
			return err
		}
		o.FromEnd, o.From = false, v+1
	}
	return g.do(ctx, "update", func(ctx context.Context, c *esdb.Client) error {
		if g.stream == all {
			return c.UpdatePersistentSubscriptionToAll(ctx, g.name, esdb.PersistentAllSubscriptionOptions{
				Settings: settings, StartFrom: o.allStart(),
			})
		}
		return c.UpdatePersistentSubscription(ctx, g.stream, g.name, esdb.PersistentStreamSubscriptionOptions{
			Settings: settings, StartFrom: o.streamStart(),
		})
	})
}

// Delete removes the group with its checkpoint and its parked events. Consumers
// end with [ErrGroupNotFound].
func (g *Group) Delete(ctx context.Context) error {
	return g.do(ctx, "delete", func(ctx context.Context, c *esdb.Client) error {
		if g.stream == all {
			return c.DeletePersistentSubscriptionToAll(ctx, g.name, esdb.DeletePersistentSubscriptionOptions{})
		}
		return c.DeletePersistentSubscription(ctx, g.stream, g.name, esdb.DeletePersistentSubscriptionOptions{})
	})
}

// ReplayParked hands the parked events to the consumers again, those before
// the event number stopAt of the stream of parked events, counted from 0; 0
// means all of them.
func (g *Group) ReplayParked(ctx context.Context, stopAt int) error {
	if stopAt < 0 {
		return &eventstore.InvalidError{What: "stop of a replay", Value: strconv.Itoa(stopAt), Remedy: "an event number, or 0 for all"}
	}
	return g.do(ctx, "replay parked events of", func(ctx context.Context, c *esdb.Client) error {
		o := esdb.ReplayParkedMessagesOptions{StopAt: stopAt}
		if g.stream == all {
			return c.ReplayParkedMessagesToAll(ctx, g.name, o)
		}
		return c.ReplayParkedMessages(ctx, g.stream, g.name, o)
	})
}

// Info returns what the server knows of the group now.
func (g *Group) Info(ctx context.Context) (GroupInfo, error) {
	var info *esdb.PersistentSubscriptionInfo
	err := g.ask(ctx, "describe", func(ctx context.Context, c *esdb.Client) (err error) {
		if g.stream == all {
			info, err = c.GetPersistentSubscriptionInfoToAll(ctx, g.name, esdb.GetPersistentSubscriptionOptions{})
		} else {
			info, err = c.GetPersistentSubscriptionInfo(ctx, g.stream, g.name, esdb.GetPersistentSubscriptionOptions{})
		}
		return err
	})
	if err != nil {
		return GroupInfo{}, err
	}
	return groupInfo(info), nil
}

// Groups returns what the server knows of every group now.
func (s *Store) Groups(ctx context.Context) ([]GroupInfo, error) {
	var infos []esdb.PersistentSubscriptionInfo
	g := &Group{store: s, stream: all}
	err := g.ask(ctx, "list", func(ctx context.Context, c *esdb.Client) (err error) {
		infos, err = c.ListAllPersistentSubscriptions(ctx, esdb.ListPersistentSubscriptionsOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]GroupInfo, len(infos))
	for i := range infos {
		out[i] = groupInfo(&infos[i])
	}
	return out, nil
}

// do carries out a change, which is repeated only if it was not sent.
func (g *Group) do(ctx context.Context, op string, f func(context.Context, *esdb.Client) error) error {
	return g.send(ctx, op, false, f)
}

// ask carries out what changes nothing.
func (g *Group) ask(ctx context.Context, op string, f func(context.Context, *esdb.Client) error) error {
	return g.send(ctx, op, true, f)
}

func (g *Group) send(ctx context.Context, op string, idempotent bool, f func(context.Context, *esdb.Client) error) error {
	if err := g.store.ready(ctx); err != nil {
		return err
	}
	op += " group " + g.name + " of " + g.stream
	_, err := write(ctx, g.store, writing{op: op, idempotent: idempotent}, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
		return struct{}{}, f(ctx, c)
	})
	if err == nil {
		return nil
	}
	return g.failure(op, err)
}

// failure returns the error for what the server answered about the group.
func (g *Group) failure(op string, err error) error {
	_, st := codeOf(err)
	switch {
	case st.Code() == codes.NotFound:
		err = ErrGroupNotFound
	case st.Code() == codes.AlreadyExists:
		err = ErrGroupExists
	case st.Code() == codes.FailedPrecondition && strings.HasPrefix(st.Message(), "Maximum subscriptions reached"):
		err = ErrGroupFull
	case st.Code() == codes.Internal && strings.Contains(st.Message(), "failed: '"):
		err = &eventstore.InvalidError{What: "group", Value: g.name, Remedy: st.Message()}
	default:
		return g.store.failure(op, g.stream, err)
	}
	return &GroupError{Stream: g.stream, Group: g.name, Err: err}
}
