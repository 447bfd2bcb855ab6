package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/foldstream/foldstream/eventstore"
)

// A remote is a server process.
type remote struct {
	addr   string
	pid    int
	client *esdb.Client
	stop   func()
}

// start starts a server with the arguments of the scenario wire-server.
func (w *wire) start(ctx context.Context, args ...string) (*remote, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"wire-server"}, args...)...) //nolint:gosec // this program
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &remote{pid: cmd.Process.Pid, stop: func() {
		_ = in.Close()
		_ = cmd.Wait() // it ends with its input, or was killed
	}}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("the server %q did not start: %w", args, err)
	}
	r.addr = strings.TrimSpace(line)
	if r.client, err = r.connect(); err != nil {
		r.stop()
		return nil, err
	}
	stop := r.stop
	r.stop = func() {
		_ = r.client.Close()
		stop()
	}
	return r, nil
}

func (r *remote) url() string { return "esdb://" + r.addr + "?tls=false" }

func (r *remote) connect() (*esdb.Client, error) {
	conf, err := esdb.ParseConnectionString(r.url())
	if err != nil {
		return nil, err
	}
	conf.Logger = esdb.NoopLogging()
	return esdb.NewClient(conf)
}

// readAll reads every event.
func (r *remote) readAll(ctx context.Context) (int, error) {
	s, err := r.client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for n := 0; ; n++ {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// catchUp subscribes and takes every event until there are no more.
func (r *remote) catchUp(ctx context.Context) (int, error) {
	s, err := r.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	for n := 0; ; {
		switch e := s.Recv(); {
		case e.SubscriptionDropped != nil:
			return n, e.SubscriptionDropped.Error
		case e.EventAppeared != nil:
			n++
		case e.CaughtUp != nil:
			return n, nil
		}
	}
}

// idle opens a subscription that waits for more, to everything or, every
// second one, to a stream.
func (r *remote) idle(ctx context.Context, i int) error {
	var s *esdb.Subscription
	var err error
	if i%2 == 0 {
		s, err = r.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.End{}})
	} else {
		s, err = r.client.SubscribeToStream(ctx, "order-"+strconv.Itoa(i), esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	}
	if err != nil {
		return err
	}
	for {
		switch e := s.Recv(); {
		case e.SubscriptionDropped != nil:
			return e.SubscriptionDropped.Error
		case e.CaughtUp != nil:
			return nil // it stays open until ctx ends
		}
	}
}

// appender returns a function that appends n events, one by one, from a number
// of callers.
func (r *remote) appender(callers, n int) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		return n, share(callers, n, func(i int) error {
			e := esdb.EventData{EventType: "order.placed", ContentType: esdb.ContentTypeJson, Data: make([]byte, wirePayload)}
			_, err := r.client.AppendToStream(ctx, "append-"+strconv.Itoa(i%1000), esdb.AppendToStreamOptions{}, e)
			return err
		})
	}
}

// share has callers do n things together.
func share(callers, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for errs[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[c] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// batchAppend appends n events, each in a request of its own, many on their
// way at a time, over one BatchAppend call.
func (r *remote) batchAppend(ctx context.Context, inFlight, n int) (int, error) {
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := streams.NewStreamsClient(conn).BatchAppend(ctx)
	if err != nil {
		return 0, err
	}
	slots := make(chan struct{}, inFlight)
	received := make(chan error, 1)
	go func() {
		for range n {
			a, err := call.Recv()
			if err == nil && a.GetError() != nil {
				err = errors.New(a.GetError().GetMessage())
			}
			if err != nil {
				cancel()
				received <- err
				return
			}
			<-slots
		}
		received <- nil
	}()
	data := make([]byte, wirePayload)
	metadata := map[string]string{"type": "order.placed", "content-type": "application/json"}
	id := eventstore.NewID() // counted up, because making them would cost more than sending them
	for i := range n {
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return i, <-received
		}
		req := &streams.BatchAppendReq{
			CorrelationId: structured(id),
			Options: &streams.BatchAppendReq_Options{
				StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("batch-" + strconv.Itoa(i%1000))},
				ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
			},
			ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{
				Id: structured(id), Metadata: metadata, Data: data,
			}},
			IsFinal: true,
		}
		if err := call.Send(req); err != nil {
			return i, errors.Join(err, <-received)
		}
	}
	return n, errors.Join(<-received, call.CloseSend())
}
