package eventstore

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync"
)

// An Origin says what caused the events that are about to be appended. The
// command bus puts it into the context, and whoever appends writes it into the
// events' metadata.
type Origin struct {
	CommandID     string   // makes a repeated command recognizable
	CorrelationID string   // of the whole conversation
	CausationID   string   // of the message that caused the command
	Metadata      Metadata // further pairs, such as tenant, actor, trace context

	// Seed is what the ids of further commands that are sent in the context are
	// derived from, see [DeriveCommandID]. Empty means CommandID.
	Seed string
}

// EventMetadata returns the metadata of the events that o leads to. made is
// the command's id if o has none, or is nil. The ids cannot be overwritten by
// o.Metadata.
func (o *Origin) EventMetadata(made ID) Metadata {
	var buf [256]byte
	b := buf[:0]
	if o == nil {
		return Metadata{string(appendID(b, KeyCommandID, made))}
	}
	// In the order of the keys.
	if o.CausationID != "" {
		b = appendPair(b, KeyCausationID, o.CausationID)
	}
	if o.CorrelationID != "" {
		b = appendPair(b, KeyCorrelationID, o.CorrelationID)
	}
	if o.CommandID != "" {
		b = appendPair(b, KeyCommandID, o.CommandID)
	} else {
		b = appendID(b, KeyCommandID, made)
	}
	return o.Metadata.Merge(Metadata{string(b)})
}

func appendID(b []byte, key string, id ID) []byte {
	text := id.text()
	b = appendString(b, key)
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text[:]...)
}

type (
	originKey      struct{}
	originStateKey struct{}
)

type originContext struct {
	context.Context
	origin *Origin
	mu     sync.Mutex
	sent   map[[2]string]int // commands whose ids were derived, by kind and target
}

func (c *originContext) Value(key any) any {
	switch key.(type) {
	case originKey:
		return c.origin
	case originStateKey:
		return c
	}
	return c.Context.Value(key)
}

// ContextWithOrigin returns a context that carries o, which must not be modified
// from now on.
func ContextWithOrigin(ctx context.Context, o *Origin) context.Context {
	return &originContext{Context: ctx, origin: o}
}

// OriginFromContext returns the origin that ctx carries, or nil. It must not
// be modified.
func OriginFromContext(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}

// DeriveCommandID returns the id for a command that is sent because of what ctx
// carries: the command that is being handled, or the event that is reacted to.
// It follows from the seed of that origin, from the command's kind (its type)
// and target (its aggregate), and from how many were sent to the same target
// before it, and from nothing else. So when the cause is handled again, the same
// further commands have the same ids, whatever their order, and change nothing
// a second time. It returns "" if ctx carries no seed.
func DeriveCommandID(ctx context.Context, kind, target string) string {
	c, _ := ctx.Value(originStateKey{}).(*originContext)
	if c == nil {
		return ""
	}
	seed := c.origin.Seed
	if seed == "" {
		if seed = c.origin.CommandID; seed == "" {
			return ""
		}
	}
	key := [2]string{kind, target}
	c.mu.Lock()
	n := c.sent[key]
	if c.sent == nil {
		c.sent = make(map[[2]string]int)
	}
	c.sent[key] = n + 1
	c.mu.Unlock()
	return DeriveID(seed, kind, target, strconv.Itoa(n)).String()
}
