package projection

import (
	"context"
	"iter"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A ViewStore keeps the views that projections build. Package redisview keeps
// them in Redis, memview in memory. Users read through [Collection], [Index],
// [Set], [Counters] and [Lookup]; this is what those and the [Runner] stand on.
//
// A view has numbered versions, of which one is active: the one that reads are
// answered from. A version is cut into partitions by key, see [PartitionOf].
// Each partition has a checkpoint, which says the position up to which events
// are applied and the epoch of the writer that may apply more.
//
// A ViewStore is safe for concurrent use. Errors other than those named here
// mean that the store could not be reached or did not understand, and that
// what was asked for may or may not have happened.
type ViewStore interface {
	// Versions returns what is known of a view's versions, oldest first; none
	// for a view that was never built.
	Versions(ctx context.Context, view string) ([]VersionInfo, error)

	// CreateVersion adds a version that is not active. It returns
	// [ErrVersionExists] when there is one of that number.
	CreateVersion(ctx context.Context, view string, v VersionInfo) error

	// Activate makes a version the one that is read, in one step for all its
	// partitions, and marks it as built. It returns [ErrNoVersion] when there is none of that number.
	Activate(ctx context.Context, view string, version int) error

	// DropVersion removes a version with all its data, without blocking
	// readers of others. It refuses the active one with [ErrVersionActive].
	// Dropping what is not there is harmless.
	DropVersion(ctx context.Context, view string, version int) error

	// Views returns the names of all views that have a version, sorted.
	Views(ctx context.Context) ([]string, error)

	// Lease takes or prolongs leases for owner, each one that is free, expired
	// or owner's already, and returns the holders in the order of names. It
	// does so in one step for all of them, and for none without names. Time is
	// the store's. Leases save work; safety comes from epochs.
	Lease(ctx context.Context, view, owner string, ttl time.Duration, names ...string) (holders []string, err error)

	// Release gives up those of the leases that owner holds.
	Release(ctx context.Context, view, owner string, names ...string) error

	// Notes returns the notes of a view by name: small values by which
	// processes tell each other things. Those that have expired are gone.
	Notes(ctx context.Context, view string) (map[string][]byte, error)

	// PutNote replaces a note, and removes it if value is nil. It expires after
	// ttl by the store's time, never if ttl is 0.
	PutNote(ctx context.Context, view, name string, value []byte, ttl time.Duration) error

	// TakeNote removes a note and returns its value, nil if there is none. Of
	// many who take it, one gets it.
	TakeNote(ctx context.Context, view, name string) (value []byte, err error)

	// Acquire takes a partition over: it raises the partition's epoch, which
	// fences every session acquired before, and returns a new one.
	Acquire(ctx context.Context, view string, version, partition int) (Session, error)

	// Checkpoints returns the checkpoints of all partitions of a version.
	Checkpoints(ctx context.Context, view string, version int) ([]Checkpoint, error)

	// Parked returns the parked streams of one partition with their data.
	Parked(ctx context.Context, view string, version, partition int) (map[string][]byte, error)

	// Dump yields everything in a version, in no particular order.
	Dump(ctx context.Context, view string, version int) iter.Seq2[Item, error]

	Reader
}

// A Reader reads the active version of views. Each method returns
// [ErrNotBuilt] while a view has none.
type Reader interface {
	// Active returns the active version.
	Active(ctx context.Context, view string) (VersionInfo, error)

	// Checkpoint returns the checkpoint of the partition of the active version
	// that key belongs to.
	Checkpoint(ctx context.Context, view, key string) (Checkpoint, error)

	// Documents returns the documents of keys, nil for one that is missing.
	Documents(ctx context.Context, view, collection string, keys []string) ([][]byte, error)

	// Counts returns the counters of keys, 0 for one that was never counted.
	Counts(ctx context.Context, view, collection string, keys []string) ([]int64, error)

	// Top returns the n highest counters, highest first, equal ones by key.
	Top(ctx context.Context, view, collection string, n int) ([]Count, error)

	IndexReader
	SetReader
}

// A Session writes one partition of one version of a view. One goroutine at a
// time commits; the other methods may be called at any time by any.
//
// A read during a commit finds what was before it or what is after it. Reads
// return [ErrFenced] when another session has the partition, or when the
// server that answers does not have what this session has committed, as after
// a fail-over that lost it: so that nothing is folded into stale data.
type Session interface {
	// Checkpoint returns the position up to which events are applied, and the
	// session's epoch.
	Checkpoint() Checkpoint

	// Parked returns the parked streams of the partition with their data.
	Parked(ctx context.Context) (map[string][]byte, error)

	// Documents returns the documents of keys, nil for one that is missing.
	Documents(ctx context.Context, collection string, keys []string) ([][]byte, error)

	// Counts returns the counters of keys, 0 for one that was never counted.
	Counts(ctx context.Context, collection string, keys []string) ([]int64, error)

	SessionReader

	// Commit makes the changes of a batch and moves the checkpoint to its
	// position, all in one atomic step and only if this session still has the
	// partition; otherwise it changes nothing and returns [ErrFenced]. After
	// any error the session must not be used again. Commit keeps nothing of b.
	Commit(ctx context.Context, b *Batch) error

	// Close releases the session's connection. It does not give up the epoch.
	Close() error
}

// VersionInfo describes a version of a view.
type VersionInfo struct {
	Number     int `json:"number"` // 1, 2, 3 …
	Partitions int `json:"partitions"`
	Definition int `json:"definition"` // see [Definition]
	// PerKey names the collections whose documents are each stored under a key
	// of its own, sorted. Only those can expire. A store in which it makes no
	// difference keeps the names.
	PerKey []string `json:"perKey,omitempty"`
	// From is the position after which a reactor begins, and History the one up
	// to which its events have [Meta.Replay]; see [StartAt]. Both are decided
	// when the version is made, and 0 for views.
	From    eventstore.Position `json:"from,omitempty"`
	History eventstore.Position `json:"history,omitempty"`

	Created time.Time `json:"created"`
	Built   bool      `json:"built,omitempty"` // was active at some time
	Active  bool      `json:"-"`
}

// A Checkpoint says how far a partition is.
type Checkpoint struct {
	Epoch    uint64 // raised by each take-over
	Position eventstore.Position
}

// A Batch is what changes in one partition in one step.
type Batch struct {
	Position  eventstore.Position // never lower than before
	Documents []DocumentChanges   // each collection at most once
	Counters  []CounterChanges    // each collection at most once
	Indexes   []IndexChanges      // each collection at most once
	Sets      []SetChanges        // each collection at most once
	Parked    []ParkedChange      // each stream at most once
}

// DocumentChanges are the new documents of one collection. A key is in Put or
// in Delete, once.
type DocumentChanges struct {
	Collection string
	// TTL is how long what is put lives, counted from the commit by the store's
	// time; 0 is for good. What has expired is not there for any reader. A
	// Commit with a TTL for a collection that is not in [VersionInfo.PerKey]
	// fails and changes nothing.
	TTL    time.Duration
	Put    []KeyValue
	Delete []string
}

// KeyValue is a document as it is stored.
type KeyValue struct {
	Key   string
	Value []byte
}

// CounterChanges are the new values, not the differences, of counters of one
// collection. A key is in Set or in Delete, once. A counter that is deleted
// was never counted.
type CounterChanges struct {
	Collection string
	Set        []Count
	Delete     []string
}

// A Count is the value of one counter.
type Count struct {
	Key   string `json:"key"`
	Value int64  `json:"value"`
}

// IndexChanges are changes of one index, in the order in which they apply.
type IndexChanges struct {
	Collection string
	Entries    []Entry
}

// An Entry puts a member under a key of an index, with a score to sort by, or
// takes it away. A member that is there gets the new score.
type Entry struct {
	Key    string
	Member string
	Score  float64
	Remove bool
}

// A ParkedChange replaces the data of a parked stream; nil removes it.
type ParkedChange struct {
	Stream string
	Data   []byte
}

// A Member of one key of an index.
type Member struct {
	Member string  `json:"member"`
	Score  float64 `json:"score"`
}

// A Range chooses members of one key of an index. The zero value is all of
// them, lowest score first, equal scores by member.
type Range struct {
	Min, Max *float64 // lowest and highest score, inclusive; nil is open
	Reverse  bool     // highest score first, equal scores by member downwards
	After    *Member  // leave out all up to this one, in that order; it need not be there
	Offset   int      // leave out so many more
	Limit    int      // at most so many; 0 means all
}

// An ItemKind says what an [Item] is.
type ItemKind string

// The kinds of items.
const (
	ItemDocument ItemKind = "document"
	ItemCounter  ItemKind = "counter"
	ItemIndex    ItemKind = "index"
	ItemSet      ItemKind = "set"
	ItemParked   ItemKind = "parked"
)

// An Item is one thing in a version of a view, see [ViewStore.Dump].
type Item struct {
	Kind       ItemKind
	Collection string
	Key        string  // of the document, counter, index or set; the stream of what is parked
	Member     string  // of an index or a set
	Score      float64 // of an index
	Count      int64   // of a counter
	Value      []byte  // of a document, or of what is parked
}

// PartitionOf returns the partition in [0, partitions) of a key: FNV-1a, 64
// bits, with the high half folded in. It never changes, because stored views
// rely on it.
func PartitionOf(key string, partitions int) int {
	return partitionOf(hashOf(key), partitions)
}

func hashOf(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

func partitionOf(hash uint64, partitions int) int {
	return int((hash ^ hash>>32) % uint64(partitions))
}
