package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// openStore opens the events: those of an EventStoreDB when ESDB_URL names
// one, else those of a folder. It returns the prefix of the keys in Redis that
// belong to them, because one Redis may serve the views of several stores, and
// whether the events are for this run only.
func (a *app) openStore(ctx context.Context, c config) (prefix string, temporary bool, err error) {
	if c.esdbURL != "" {
		prefix, err = a.openESDB(ctx, c)
		return prefix, false, err
	}
	dir, temporary, err := a.folder(c)
	if err != nil {
		return "", false, err
	}
	store, err := logstore.Open(filepath.Join(dir, "events"), &logstore.Options{Logger: c.log})
	if err != nil {
		return "", false, err
	}
	a.store = store
	a.onClose(store.Close)
	// The lock on the folder leaves one process at a time, so the one that comes
	// after a crash is the same worker: it need not wait for the lease to end.
	a.owner = "shop"
	prefix, err = viewPrefix(dir)
	return prefix, temporary, err
}

// folder returns where the events are, and whether that is for this run only.
func (a *app) folder(c config) (dir string, temporary bool, err error) {
	if c.data != "" {
		return c.data, false, nil
	}
	dir, err = os.MkdirTemp("", "foldstream-shop-")
	if err != nil {
		return "", false, fmt.Errorf("make a temporary folder: %w; name one with -data", err)
	}
	a.onClose(func() error { return os.RemoveAll(dir) })
	return dir, true, nil
}

// viewPrefix returns the prefix that is kept beside the events in dir; it is
// made once.
func viewPrefix(dir string) (string, error) {
	file := filepath.Join(dir, "views.prefix")
	prefix, err := os.ReadFile(file)
	if err == nil && len(prefix) > 0 {
		return strings.TrimSpace(string(prefix)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the prefix of the views: %w", err)
	}
	made := newPrefix()
	if err := os.WriteFile(file, []byte(made+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("keep the prefix of the views: %w", err)
	}
	return made, nil
}

func newPrefix() string { return "shop:" + eventstore.NewID().String()[:8] + ":" }

// esdbTime is how long an EventStoreDB may take to answer at start.
const esdbTime = 10 * time.Second

// prefixStream holds the prefix of the views of an EventStoreDB: views belong
// to the events, not to the address they are read from.
const prefixStream = "shop-views"

func (a *app) openESDB(ctx context.Context, c config) (prefix string, err error) {
	store, err := esdbstore.Open(c.esdbURL, &esdbstore.Options{Logger: c.log})
	if err != nil {
		return "", fmt.Errorf("ESDB_URL: %w; use esdb://127.0.0.1:2113?tls=false", err)
	}
	a.store, a.shared = store, true
	a.onClose(store.Close)
	ctx, cancel := context.WithTimeout(ctx, esdbTime)
	defer cancel()
	named := eventstore.Event{Type: "shop.views-named", ContentType: eventstore.ContentTypeBinary, Data: []byte(newPrefix())}
	for {
		for r, err := range store.Read(ctx, prefixStream, eventstore.ReadOptions{Limit: 1}) {
			if err == nil {
				return string(r.Data), nil
			}
			if !errors.Is(err, eventstore.ErrStreamNotFound) {
				return "", fmt.Errorf("cannot reach EventStoreDB (ESDB_URL): %w; start it, for example with foldstream serve, or unset ESDB_URL", err)
			}
		}
		_, err := store.Append(ctx, prefixStream, eventstore.NoStream, named)
		if err != nil && !errors.Is(err, eventstore.ErrConflict) { // a conflict: another process was faster
			return "", fmt.Errorf("keep the prefix of the views: %w", err)
		}
	}
}

// count returns how many events the shop's store holds. Positions count them
// in a folder; elsewhere they are counted, system events left out.
func (a *app) count(ctx context.Context) (uint64, error) {
	if !a.shared {
		head, err := a.store.Head(ctx)
		return uint64(head), err
	}
	n := uint64(0)
	for r, err := range a.store.ReadAll(ctx, eventstore.ReadAllOptions{Filter: eventstore.Filter{ExcludeSystem: true}}) {
		if err != nil {
			return 0, err
		}
		if r.Stream != prefixStream {
			n++
		}
	}
	return n, nil
}

// sayWhere warns of events that will not outlive the process.
func (a *app) sayWhere(c config, notes io.Writer) {
	if c.data == "" && !a.shared {
		_, _ = fmt.Fprintln(notes, "the events are in a temporary folder and go with this process; keep them with -data DIR")
	}
}
