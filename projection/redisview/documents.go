package redisview

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// Documents implements [projection.Reader]. It is one round trip, or none where
// a [ClientCache] has all of them.
func (s *Store) Documents(ctx context.Context, view, collection string, keys []string) (docs [][]byte, err error) {
	if s.cache != nil {
		docs, err = s.cache.documents(ctx, s, view, collection, keys)
	} else {
		docs, err = s.plainDocuments(ctx, view, collection, keys)
	}
	if err != nil {
		return nil, failed(fmt.Sprintf("documents %q", collection), view, err)
	}
	return docs, nil
}

func (s *Store) plainDocuments(ctx context.Context, view, collection string, keys []string) ([][]byte, error) {
	docs := make([][]byte, len(keys))
	get := func(pipe redis.Pipeliner, p *pointer, base string, keys []string) *redis.SliceCmd {
		return getDocuments(ctx, pipe, base, collection, slices.Contains(p.perKey, collection), keys)
	}
	err := s.lookup(ctx, view, keys, get, func(i int, v string) error {
		docs[i] = []byte(v)
		return nil
	})
	return docs, err
}

// getDocuments asks for documents of one partition, all at one moment.
func getDocuments(ctx context.Context, pipe redis.Pipeliner, base, collection string, perKey bool, keys []string) *redis.SliceCmd {
	if !perKey {
		return pipe.HMGet(ctx, base+documentPrefix+escape(collection), keys...)
	}
	stem := base + perKeyStem(collection)
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = stem + key
	}
	return pipe.MGet(ctx, names...)
}

// perKeyStem returns what comes between the base and the key of a document
// that is stored under a key of its own.
func perKeyStem(collection string) string { return perKeyPrefix + escape(collection) + ":" }

// perKeyDocuments yields pages of the keys of documents of a version that are
// stored under keys of their own, each once. SCAN goes through all keys of each
// server, but blocks nobody.
func (s *Store) perKeyDocuments(ctx context.Context, view string, r *record) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		if len(r.PerKey) == 0 {
			return
		}
		servers, err := s.masters(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		stems := make([]string, 0, r.Partitions*len(r.PerKey))
		for p := range r.Partitions {
			for _, collection := range r.PerKey {
				stems = append(stems, s.base(view, r.Number, p)+perKeyStem(collection))
			}
		}
		seen := make(map[string]struct{})
		for _, server := range servers {
			for page, err := range scanKeys(ctx, server, s.perKeyPattern(view, r.Number)) {
				if err != nil {
					yield(nil, err)
					return
				}
				if page = fresh(page, stems, seen); len(page) > 0 && !yield(page, nil) {
					return
				}
			}
		}
	}
}

// perKeyPattern matches the keys of documents in all partitions, and perhaps
// others.
func (s *Store) perKeyPattern(view string, version int) string {
	return globEscaper.Replace(s.prefix+"{"+escape(view)+":p") + fmt.Sprintf("*}:v%d:%s*", version, perKeyPrefix)
}

var globEscaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)

// fresh returns the keys that begin with a stem and were not seen before.
func fresh(keys, stems []string, seen map[string]struct{}) []string {
	return slices.DeleteFunc(keys, func(key string) bool {
		ours := slices.ContainsFunc(stems, func(stem string) bool { return strings.HasPrefix(key, stem) })
		_, again := seen[key]
		if ours {
			seen[key] = struct{}{}
		}
		return !ours || again
	})
}

// masters returns clients of all servers that are written to.
func (s *Store) masters(ctx context.Context) ([]redis.UniversalClient, error) {
	c, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return []redis.UniversalClient{s.rdb}, nil
	}
	var mu sync.Mutex // they are called side by side
	var all []redis.UniversalClient
	err := c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, node)
		return nil
	})
	return all, err
}

func scanKeys(ctx context.Context, rdb redis.UniversalClient, pattern string) iter.Seq2[[]string, error] {
	return scan(ctx, pattern, func(ctx context.Context, pattern string, cursor uint64, _ string, count int64) *redis.ScanCmd {
		return rdb.Scan(ctx, cursor, pattern, count)
	})
}

// dumpPerKey calls yield with the documents that are stored under keys of their
// own until it says no.
func (s *Store) dumpPerKey(ctx context.Context, view string, r *record, yield func(projection.Item) bool) error {
	for keys, err := range s.perKeyDocuments(ctx, view, r) {
		if err != nil {
			return err
		}
		pipe := s.rdb.Pipeline()
		gets := make([]*redis.StringCmd, len(keys))
		for i, key := range keys {
			gets[i] = pipe.Get(ctx, key)
		}
		cmds, _ := pipe.Exec(ctx) // the commands have the errors
		if err := firstError(cmds); err != nil {
			return err
		}
		for i, get := range gets {
			if get.Err() != nil {
				continue // it was removed, or has expired
			}
			collection, key := splitPerKey(keys[i][len(s.prefix):])
			if !yield(projection.Item{Kind: projection.ItemDocument, Collection: collection, Key: key, Value: []byte(get.Val())}) {
				return nil
			}
		}
	}
	return nil
}

// splitPerKey returns the collection and the key of a document from its key in
// Redis without the store's prefix. The names in it are escaped.
func splitPerKey(name string) (collection, key string) {
	_, rest, _ := strings.Cut(name, "}:v")
	_, rest, _ = strings.Cut(rest, ":"+perKeyPrefix)
	collection, key, _ = strings.Cut(rest, ":")
	return unescape(collection), key
}

// dropPerKey removes them.
func (s *Store) dropPerKey(ctx context.Context, view string, r *record) error {
	for keys, err := range s.perKeyDocuments(ctx, view, r) {
		if err != nil {
			return err
		}
		pipe := s.rdb.Pipeline()
		for _, key := range keys { // one by one: on a cluster a page is of several slots
			pipe.Unlink(ctx, key)
		}
		cmds, _ := pipe.Exec(ctx) // the commands have the errors
		if err := firstError(cmds); err != nil {
			return err
		}
	}
	return nil
}
