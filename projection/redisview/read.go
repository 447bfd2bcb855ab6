package redisview

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// A pointer says which version is read.
type pointer struct {
	version, partitions, definition int
	perKey                          []string // collections, see [projection.VersionInfo]
	text                            string   // as it is stored
	bases                           []string // of the partitions' keys
}

// pointerText returns a pointer as it is stored.
func pointerText(v *projection.VersionInfo) string {
	parts := []string{strconv.Itoa(v.Number), strconv.Itoa(v.Partitions), strconv.Itoa(v.Definition)}
	for _, name := range v.PerKey {
		parts = append(parts, escape(name))
	}
	return strings.Join(parts, ":")
}

func (s *Store) parsePointer(view, text string) (*pointer, error) {
	parts := strings.Split(text, ":")
	ns, err := numbers(strings.Join(parts[:min(len(parts), 3)], ":"), 3)
	if err != nil || ns[0] < 1 || ns[1] < 1 || max(ns[0], ns[1], ns[2]) > math.MaxInt32 {
		return nil, &malformedError{s.activeKey(view), text, "a pointer (version:partitions:definition)"}
	}
	p := &pointer{version: int(ns[0]), partitions: int(ns[1]), definition: int(ns[2]), text: text}
	for _, name := range parts[3:] {
		p.perKey = append(p.perKey, unescape(name))
	}
	p.bases = make([]string, p.partitions)
	for i := range p.bases {
		p.bases[i] = s.base(view, p.version, i)
	}
	return p, nil
}

// base returns what the keys of key's partition begin with.
func (p *pointer) base(key string) string {
	return p.bases[projection.PartitionOf(key, p.partitions)]
}

// pointer returns the pointer as last seen, or asks for it.
func (s *Store) pointer(ctx context.Context, view string) (*pointer, error) {
	if p, ok := s.active.Load(view); ok {
		return p.(*pointer), nil
	}
	return s.see(view, s.rdb.Get(ctx, s.activeKey(view)))
}

// see remembers what a GET of the pointer says.
func (s *Store) see(view string, get *redis.StringCmd) (*pointer, error) {
	text, err := get.Result()
	var p *pointer
	if err == nil {
		p, err = s.parsePointer(view, text)
	}
	if errors.Is(err, redis.Nil) {
		err = projection.ErrNotBuilt
	}
	if err != nil {
		s.active.Delete(view)
		return nil, err
	}
	s.active.Store(view, p)
	return p, nil
}

// readTries bounds how often the pointer may move while a reader reads.
const readTries = 100

// read sends the commands that queue adds for the active version, in one round
// trip together with a look at the pointer, and again while the pointer is
// another than thought. The pointer is read last: the version was active after
// its data was read, so it was not being dropped meanwhile. (On a cluster the
// two come from different servers in no certain order.)
func (s *Store) read(ctx context.Context, view string, queue func(redis.Pipeliner, *pointer)) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	p, err := s.pointer(ctx, view)
	if err != nil {
		return err
	}
	for range readTries {
		pipe := s.rdb.Pipeline()
		queue(pipe, p)
		get := pipe.Get(ctx, s.activeKey(view))
		cmds, _ := pipe.Exec(ctx) // the commands have the errors
		now, err := s.still(view, p, get)
		if err != nil {
			return err
		}
		if now == p {
			return firstError(cmds)
		}
		p = now
	}
	return errBusy
}

// still returns p if the pointer is what it was, and the new one otherwise.
func (s *Store) still(view string, p *pointer, get *redis.StringCmd) (*pointer, error) {
	if text, err := get.Result(); err == nil && text == p.text {
		return p, nil
	}
	return s.see(view, get)
}

func failed(what, view string, err error) error {
	return fmt.Errorf("redisview: %s of view %q: %w", what, view, err)
}

// Active implements [projection.Reader].
func (s *Store) Active(ctx context.Context, view string) (projection.VersionInfo, error) {
	var get *redis.StringCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		get = pipe.HGet(ctx, s.versionsKey(view), strconv.Itoa(p.version))
	})
	var r record
	if err == nil {
		r, err = parseRecord(s.versionsKey(view), get.Val())
	}
	if err != nil {
		return projection.VersionInfo{}, failed("active version", view, err)
	}
	r.Active = true
	return r.VersionInfo, nil
}

// Checkpoint implements [projection.Reader].
func (s *Store) Checkpoint(ctx context.Context, view, key string) (projection.Checkpoint, error) {
	var get *redis.StringCmd
	var ckKey string
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		ckKey = p.base(key) + checkpointSuffix
		get = pipe.Get(ctx, ckKey)
	})
	var ck projection.Checkpoint
	if err == nil {
		value, gerr := get.Result()
		ck, err = checkpointOf(ckKey, value, gerr)
	}
	if err != nil {
		return projection.Checkpoint{}, failed("checkpoint", view, err)
	}
	return ck, nil
}

// Counts implements [projection.Reader].
func (s *Store) Counts(ctx context.Context, view, collection string, keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	err := s.lookup(ctx, view, keys, fields(ctx, counterPrefix+escape(collection)), func(i int, v string) (err error) {
		counts[i], err = parseCount(keys[i], v)
		return err
	})
	if err != nil {
		return nil, failed(fmt.Sprintf("counters %q", collection), view, err)
	}
	return counts, nil
}

// A fetch asks one partition for some of the keys.
type fetch struct {
	indexes []int // of the keys
	values  *redis.SliceCmd
}

// An ask is a command that gets the values of keys of one partition, which is
// where base says.
type ask func(pipe redis.Pipeliner, p *pointer, base string, keys []string) *redis.SliceCmd

// fields asks for fields of a hash.
func fields(ctx context.Context, suffix string) ask {
	return func(pipe redis.Pipeliner, _ *pointer, base string, keys []string) *redis.SliceCmd {
		return pipe.HMGet(ctx, base+suffix, keys...)
	}
}

// lookup calls found for each key that there is, with one command for each
// partition.
func (s *Store) lookup(ctx context.Context, view string, keys []string, ask ask, found func(int, string) error) error {
	var fetches []fetch
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		fetches = fetches[:0]
		if len(keys) == 1 {
			fetches = append(fetches, fetch{one, ask(pipe, p, p.base(keys[0]), keys)})
			return
		}
		indexes := make([][]int, p.partitions)
		for i, key := range keys {
			part := projection.PartitionOf(key, p.partitions)
			indexes[part] = append(indexes[part], i)
		}
		for part, is := range indexes {
			if len(is) > 0 {
				fetches = append(fetches, fetch{is, ask(pipe, p, p.bases[part], pick(keys, is))})
			}
		}
	})
	if err != nil {
		return err
	}
	for _, f := range fetches {
		for i, v := range f.values.Val() {
			if text, ok := v.(string); ok {
				if err := found(f.indexes[i], text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

var one = []int{0}

func pick(keys []string, indexes []int) []string {
	picked := make([]string, len(indexes))
	for i, k := range indexes {
		picked[i] = keys[k]
	}
	return picked
}
