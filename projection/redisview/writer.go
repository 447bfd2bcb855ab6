package redisview

import "github.com/foldstream/foldstream/projection"

const (
	// maxFields bounds one command, and with it how long Redis serves nobody
	// else for it.
	maxFields = 1000
	// maxKnown bounds what a session remembers of the registry.
	maxKnown = 4096
)

// A writer turns batches into commands. It uses its buffers again, and its
// arguments point into the batch instead of copying it, so that a field costs
// no allocation.
type writer struct {
	base   string
	perKey []string  // collections whose documents are stored under keys of their own
	cmds   [][]any   // the arguments of each command
	args   []any     // of all commands, one after the other
	scores []float64 // of counters
	order  []int     // of changes by key, see inOrder
	fresh  []string  // what the registry does not hold yet
	known  map[string]struct{}

	// The command that is being built.
	name, key string
	start     int // in args
	fields    int
}

// raw is a value that go-redis writes without copying it.
type raw []byte

// MarshalBinary implements [encoding.BinaryMarshaler].
func (r *raw) MarshalBinary() ([]byte, error) { return *r, nil }

func (w *writer) init(base string) {
	w.base = base
	w.known = make(map[string]struct{})
}

// release forgets the batch and keeps the buffers.
func (w *writer) release() {
	clear(w.cmds)
	clear(w.args)
	clear(w.fresh)
	w.cmds, w.args, w.scores, w.fresh = w.cmds[:0], w.args[:0], w.scores[:0], w.fresh[:0]
}

// open starts a command with any number of fields.
func (w *writer) open(name, key string) {
	w.openKeys(name)
	w.key = key
	w.args = append(w.args, key)
}

// openKeys starts a command whose fields are keys.
func (w *writer) openKeys(name string) {
	w.name, w.key, w.start, w.fields = name, "", len(w.args), 0
	w.args = append(w.args, name)
}

// field says that one more field was added to the command.
func (w *writer) field() {
	if w.fields++; w.fields < maxFields {
		return
	}
	w.close()
	if w.key == "" {
		w.openKeys(w.name)
	} else {
		w.open(w.name, w.key)
	}
}

// close ends the command. One without fields is none.
func (w *writer) close() {
	if w.fields == 0 {
		w.args = w.args[:w.start]
		return
	}
	w.cmds = append(w.cmds, w.args[w.start:len(w.args):len(w.args)])
}

// batch adds the commands for the changes of b.
func (w *writer) batch(b *projection.Batch) {
	for i := range b.Documents {
		w.documents(&b.Documents[i])
	}
	for i := range b.Counters {
		w.counters(&b.Counters[i])
	}
	for i := range b.Indexes {
		w.entries(&b.Indexes[i])
	}
	for i := range b.Sets {
		w.sets(&b.Sets[i])
	}
	w.parked(b.Parked)
	w.register()
}

func (w *writer) documents(c *projection.DocumentChanges) {
	if w.isPerKey(c.Collection) {
		w.perKeyDocuments(c)
		return
	}
	key := w.keyOf(documentPrefix + escape(c.Collection))
	w.open("hset", key)
	for i := range c.Put {
		w.args = append(w.args, &c.Put[i].Key, (*raw)(&c.Put[i].Value))
		w.field()
	}
	w.close()
	w.deleted("hdel", key, c.Delete)
}

// counters writes the exact values into a hash, and a ranking beside it.
func (w *writer) counters(c *projection.CounterChanges) {
	collection := escape(c.Collection)
	w.open("hset", w.keyOf(counterPrefix+collection))
	for i := range c.Set {
		w.args = append(w.args, &c.Set[i].Key, &c.Set[i].Value)
		w.field()
	}
	w.close()
	w.open("zadd", w.base+rankingPrefix+collection)
	for i := range c.Set {
		w.scores = append(w.scores, rank(c.Set[i].Value))
		w.args = append(w.args, &w.scores[len(w.scores)-1], &c.Set[i].Key)
		w.field()
	}
	w.close()
	w.deleted("hdel", w.keyOf(counterPrefix+collection), c.Delete)
	w.deleted("zrem", w.base+rankingPrefix+collection, c.Delete)
}

func (w *writer) deleted(name, key string, fields []string) {
	w.open(name, key)
	for i := range fields {
		w.args = append(w.args, &fields[i])
		w.field()
	}
	w.close()
}

func (w *writer) parked(changes []projection.ParkedChange) {
	key := w.base + parkedSuffix
	w.open("hset", key)
	for i := range changes {
		if c := &changes[i]; c.Data != nil {
			w.args = append(w.args, &c.Stream, (*raw)(&c.Data))
			w.field()
		}
	}
	w.close()
	w.open("hdel", key)
	for i := range changes {
		if c := &changes[i]; c.Data == nil {
			w.args = append(w.args, &c.Stream)
			w.field()
		}
	}
	w.close()
}

// keyOf returns the key that ends with suffix, and sees to it that the registry
// knows it.
func (w *writer) keyOf(suffix string) string {
	if _, ok := w.known[suffix]; !ok {
		if len(w.known) == maxKnown {
			clear(w.known)
		}
		w.known[suffix] = struct{}{}
		w.fresh = append(w.fresh, suffix)
	}
	return w.base + suffix
}

func (w *writer) register() {
	w.open("sadd", w.base+registrySuffix)
	for i := range w.fresh {
		w.args = append(w.args, &w.fresh[i])
		w.field()
	}
	w.close()
}
