package commandtest_test

import (
	"context"
	"errors"
	"time"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandtest"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/query"
)

// A hotel: a room that is booked and not confirmed within two days is given
// away. A guest gets a mail, which may take some tries.
type (
	event     interface{ isRoom() }
	booked    struct{ Guest string }
	confirmed struct{}
	released  struct{ Why string }

	room struct{ guest, state string }

	book    struct{ Room, Guest string }
	confirm struct{ Room string }
	release struct{ Room, Why string }
	mail    struct{ To, Text string }

	guest   struct{ Name, State string }
	guestOf struct{ Room string }
)

func (booked) isRoom()    {}
func (confirmed) isRoom() {}
func (released) isRoom()  {}

func (c book) AggregateID() string    { return c.Room }
func (c confirm) AggregateID() string { return c.Room }
func (c release) AggregateID() string { return c.Room }

var (
	errTaken  = errors.New("the room is taken")
	errFree   = errors.New("nobody has booked the room")
	errServer = errors.New("the mail server does not answer")
)

func (r room) Evolve(e event) room {
	switch e := e.(type) {
	case booked:
		return room{e.Guest, "booked"}
	case confirmed:
		r.state = "confirmed"
	case released:
		return room{}
	}
	return r
}

func (r room) Book(c book) ([]event, error) {
	if r.guest != "" {
		return nil, errTaken
	}
	return []event{booked{c.Guest}}, nil
}

func (r room) Confirm(confirm) ([]event, error) {
	if r.guest == "" {
		return nil, errFree
	}
	return []event{confirmed{}}, nil
}

func (r room) Release(c release) ([]event, error) {
	if r.state != "booked" {
		return nil, nil
	}
	return []event{released{c.Why}}, nil
}

func (g guest) booked(e booked, _ projection.Meta) (guest, error) {
	if e.Guest == "nobody" {
		return g, errors.New("nobody has no page")
	}
	return guest{e.Guest, "booked"}, nil
}

func (g guest) confirmed(confirmed, projection.Meta) (guest, error) {
	g.State = "confirmed"
	return g, nil
}

func (g guest) released(released, projection.Meta) (guest, error) { return guest{State: "free"}, nil }

// hotel is what the tests want to reach of the application.
type hotel struct {
	deaf   bool // the kit's middleware is forgotten
	outage int  // mails that fail
	clock  bool // a handler looks at it
	guests *projection.Collection[guest]
	desk   *command.Queue
}

func (h *hotel) build(env commandtest.Env) commandtest.App {
	events := codec.New(codec.Type[booked]("room.booked"), codec.Type[confirmed]("room.confirmed"), codec.Type[released]("room.released"),
		codec.Type[release]("release"), codec.Type[mail]("mail"))
	rooms := aggregate.NewRepository[room](env.Store, "room", events, nil)
	opts := &command.Options{Middleware: []command.Middleware{env.Middleware}}
	if h.deaf {
		opts = nil
	}
	bus := command.NewBus(opts)
	command.Register(bus, aggregate.Handle(rooms, room.Book))
	command.Register(bus, aggregate.Handle(rooms, room.Confirm))
	command.Register(bus, aggregate.Handle(rooms, room.Release))
	command.Register(bus, h.mail)
	h.desk = command.NewQueue("desk", env.Store, events, bus, nil)
	h.guests = projection.NewCollection[guest](env.Views, "guests", codec.Msgpack, nil)
	view := projection.New("guests", events,
		projection.On(h.guests, func(g guest, e booked, m projection.Meta) (guest, error) {
			if h.clock {
				e.Guest += time.Now().String()
			}
			return g.booked(e, m)
		}), projection.On(h.guests, guest.confirmed), projection.On(h.guests, guest.released))
	clerk := projection.NewReactor("clerk", events, env.Views, projection.MaxAttempts(3),
		projection.React(func(ctx context.Context, e booked, m projection.Meta) error {
			if e.Guest == "nobody" {
				return errors.New("nobody gets mail")
			}
			_, err := command.Send(ctx, bus, mail{e.Guest, "welcome"})
			if err == nil {
				_, err = command.Enqueue(ctx, h.desk, release{m.ID, "not confirmed"}, command.Delay(48*time.Hour))
			}
			return err
		}))
	queries := query.NewBus(nil)
	query.Register(queries, func(ctx context.Context, q guestOf) (guest, error) { return h.guests.Get(ctx, q.Room) })
	return commandtest.App{
		Codec: events, Commands: bus, Queries: queries, Queues: []*command.Queue{h.desk},
		Runner: projection.NewRunner(env.Store, nil, view, clerk),
	}
}

func (h *hotel) mail(context.Context, mail) (eventstore.Receipt, error) {
	if h.outage > 0 {
		h.outage--
		return eventstore.Receipt{}, errServer
	}
	return eventstore.Receipt{}, nil
}
