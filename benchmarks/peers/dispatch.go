package main

import (
	"context"
	"encoding/json"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/uuid"
	eh "github.com/looplab/eventhorizon"
	"github.com/looplab/eventhorizon/commandhandler/bus"
	"github.com/modernice/goes/codec"
	"github.com/modernice/goes/command"
	"github.com/modernice/goes/command/cmdbus"
	"github.com/modernice/goes/command/cmdbus/dispatch"
	"github.com/modernice/goes/event/eventbus"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// dispatchers are the command buses of the peers, each of which returns when
// its handler has returned.
func dispatchers() []race.Entry {
	return []race.Entry{
		race.Dispatch("eventhorizon", race.Peer, horizonBus(0)),
		race.Dispatch("eventhorizon, three middlewares", race.Peer, horizonBus(3)),
		race.Dispatch("goes", race.Peer, goesBus),
		race.Dispatch("watermill", race.Peer, watermillBus),
	}
}

type opened = func(ctx context.Context) (send func(ctx context.Context, n int) error, closeBus func() error, err error)

type horizonPing struct {
	ID uuid.UUID
	N  int `eh:"optional"`
}

func (c horizonPing) AggregateID() uuid.UUID          { return c.ID }
func (c horizonPing) AggregateType() eh.AggregateType { return ehType }
func (c horizonPing) CommandType() eh.CommandType     { return "Ping" }

func horizonBus(middlewares int) opened {
	return func(context.Context) (func(context.Context, int) error, func() error, error) {
		handlers, id := bus.NewCommandHandler(), uuid.New()
		var handler eh.CommandHandler = eh.CommandHandlerFunc(func(context.Context, eh.Command) error { return nil })
		for range middlewares {
			handler = eh.UseCommandHandlerMiddleware(handler, func(next eh.CommandHandler) eh.CommandHandler {
				return eh.CommandHandlerFunc(func(ctx context.Context, c eh.Command) error { return next.HandleCommand(ctx, c) })
			})
		}
		return func(ctx context.Context, n int) error { return handlers.HandleCommand(ctx, horizonPing{id, n}) }, nothing, handlers.SetHandler(handler, "Ping")
	}
}

func goesBus(ctx context.Context) (func(context.Context, int) error, func() error, error) {
	registry := codec.New(codec.Default(json.Marshal, json.Unmarshal))
	codec.Register[race.Ping](registry, "Ping")
	cmdbus.RegisterEvents(registry)
	b := cmdbus.New[int](registry, eventbus.New())
	ctx, cancel := context.WithCancel(ctx)
	failed, err := b.Run(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	handled, err := command.Handle(ctx, b, "Ping", func(command.Ctx[race.Ping]) error { return nil })
	if err != nil {
		cancel()
		return nil, nil, err
	}
	for _, errs := range []<-chan error{failed, handled} {
		go func() {
			for range errs { //nolint:revive // they must be read, and each dispatch returns its own
			}
		}()
	}
	return func(ctx context.Context, n int) error {
			return b.Dispatch(ctx, command.New("Ping", race.Ping{N: n}).Any(), dispatch.Sync())
		}, func() error {
			cancel()
			return nil
		}, nil
}

func watermillBus(ctx context.Context) (func(context.Context, int) error, func() error, error) {
	channel := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, err
	}
	marshaler := cqrs.JSONMarshaler{}
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		Marshaler:              marshaler,
		GenerateSubscribeTopic: func(p cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) { return p.CommandName, nil },
		SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return channel, nil
		},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := processor.AddHandlers(cqrs.NewCommandHandler("ping", func(context.Context, *race.Ping) error { return nil })); err != nil {
		return nil, nil, err
	}
	sender, err := cqrs.NewCommandBusWithConfig(channel, cqrs.CommandBusConfig{
		Marshaler:            marshaler,
		GeneratePublishTopic: func(p cqrs.CommandBusGeneratePublishTopicParams) (string, error) { return p.CommandName, nil },
	})
	if err != nil {
		return nil, nil, err
	}
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	select {
	case <-router.Running():
	case err := <-done:
		return nil, nil, err
	}
	return func(ctx context.Context, n int) error { return sender.Send(ctx, race.Ping{N: n}) }, func() error {
		err := router.Close()
		<-done
		return err
	}, nil
}
