package redisview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// A record is what the hash of versions holds.
type record struct {
	projection.VersionInfo
	// Dropping hides a version while its keys are removed, so that a drop
	// that was interrupted can be ended by another.
	Dropping bool `json:"dropping,omitempty"`
}

func parseRecord(key, text string) (record, error) {
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Number < 1 || r.Partitions < 1 {
		return record{}, &malformedError{key, text, "the description of a version"}
	}
	return r, nil
}

// getRecord returns a version with the text it was read from.
func (s *Store) getRecord(ctx context.Context, view string, number int) (record, string, error) {
	key := s.versionsKey(view)
	text, err := s.rdb.HGet(ctx, key, strconv.Itoa(number)).Result()
	if errors.Is(err, redis.Nil) {
		return record{}, "", projection.ErrNoVersion
	}
	if err != nil {
		return record{}, "", err
	}
	r, err := parseRecord(key, text)
	return r, text, err
}

// version returns a version that is there.
func (s *Store) version(ctx context.Context, view string, number int) (record, error) {
	r, _, err := s.getRecord(ctx, view, number)
	if err == nil && r.Dropping {
		err = projection.ErrNoVersion
	}
	if err != nil {
		return record{}, fmt.Errorf("redisview: view %q version %d: %w", view, number, err)
	}
	return r, nil
}

// Versions implements [projection.ViewStore].
func (s *Store) Versions(ctx context.Context, view string) ([]projection.VersionInfo, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	pipe := s.rdb.Pipeline()
	all := pipe.HGetAll(ctx, s.versionsKey(view))
	current := pipe.Get(ctx, s.activeKey(view))
	cmds, _ := pipe.Exec(ctx) // the commands have the errors
	infos, err := s.versions(view, cmds, all.Val(), current)
	if err != nil {
		return nil, fmt.Errorf("redisview: versions of view %q: %w", view, err)
	}
	return infos, nil
}

func (s *Store) versions(view string, cmds []redis.Cmder, all map[string]string, current *redis.StringCmd) ([]projection.VersionInfo, error) {
	if err := firstError(cmds); err != nil {
		return nil, err
	}
	active := 0
	if current.Err() == nil {
		p, err := s.parsePointer(view, current.Val())
		if err != nil {
			return nil, err
		}
		active = p.version
	}
	var infos []projection.VersionInfo
	for _, text := range all {
		r, err := parseRecord(s.versionsKey(view), text)
		if err != nil {
			return nil, err
		}
		if r.Dropping {
			continue
		}
		r.Active = r.Number == active
		infos = append(infos, r.VersionInfo)
	}
	slices.SortFunc(infos, func(a, b projection.VersionInfo) int { return cmp.Compare(a.Number, b.Number) })
	return infos, nil
}

// Views implements [projection.ViewStore].
func (s *Store) Views(ctx context.Context) ([]string, error) {
	if err := s.checkClient(ctx); err != nil {
		return nil, err
	}
	names, err := s.rdb.SMembers(ctx, s.viewsKey()).Result()
	if err == nil && len(names) > 0 {
		names, err = s.withVersions(ctx, names)
	}
	if err != nil {
		return nil, fmt.Errorf("redisview: names of views: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// withVersions returns those of names that have a version which is not being
// dropped.
func (s *Store) withVersions(ctx context.Context, names []string) ([]string, error) {
	pipe := s.rdb.Pipeline()
	gets := make([]*redis.StringSliceCmd, len(names))
	for i, name := range names {
		gets[i] = pipe.HVals(ctx, s.versionsKey(name))
	}
	cmds, _ := pipe.Exec(ctx) // the commands have the errors
	if err := firstError(cmds); err != nil {
		return nil, err
	}
	var found []string
	for i, get := range gets {
		for _, text := range get.Val() {
			r, err := parseRecord(s.versionsKey(names[i]), text)
			if err != nil {
				return nil, err
			}
			if !r.Dropping {
				found = append(found, names[i])
				break
			}
		}
	}
	return found, nil
}

// CreateVersion implements [projection.ViewStore].
func (s *Store) CreateVersion(ctx context.Context, view string, v projection.VersionInfo) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	if v.Number < 1 || v.Partitions < 1 || v.Definition < 0 {
		return fmt.Errorf("redisview: view %q: version %d with %d partitions and definition %d: number and partitions must be at least 1, definition at least 0", view, v.Number, v.Partitions, v.Definition)
	}
	text, err := json.Marshal(record{VersionInfo: v})
	if err != nil {
		return fmt.Errorf("redisview: view %q version %d: %w", view, v.Number, err)
	}
	// The two keys may be on two servers. This order never leaves a version
	// of which Views does not know.
	if err := s.rdb.SAdd(ctx, s.viewsKey(), view).Err(); err != nil {
		return fmt.Errorf("redisview: create view %q version %d: %w", view, v.Number, err)
	}
	created, err := s.rdb.HSetNX(ctx, s.versionsKey(view), strconv.Itoa(v.Number), text).Result()
	if err == nil && !created {
		err = projection.ErrVersionExists
	}
	if err != nil {
		return fmt.Errorf("redisview: create view %q version %d: %w", view, v.Number, err)
	}
	return nil
}

// The scripts replace a record or a pointer only if the record is still what
// the caller has read.
var (
	activateScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
return 1`)
	dropScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local active = redis.call('GET', KEYS[2])
if active and string.match(active, '^%d+') == ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`)
)

// casTries bounds how often a record may change under a caller's hands. A
// record changes twice in its life.
const casTries = 10

var errBusy = errors.New("the version keeps changing; try again")

// Activate implements [projection.ViewStore].
func (s *Store) Activate(ctx context.Context, view string, number int) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	err := s.swap(ctx, view, number, func(r record, text string) (int, error) {
		if r.Dropping {
			return 0, projection.ErrNoVersion
		}
		r.Built = true
		built, err := json.Marshal(r)
		if err != nil {
			return 0, err
		}
		return s.run(ctx, activateScript, view, number, text, string(built), pointerText(&r.VersionInfo))
	})
	if err != nil {
		return fmt.Errorf("redisview: activate view %q version %d: %w", view, number, err)
	}
	return nil
}

// swap calls try with what is known of a version until it returns other than 0.
func (s *Store) swap(ctx context.Context, view string, number int, try func(record, string) (int, error)) error {
	for range casTries {
		r, text, err := s.getRecord(ctx, view, number)
		if err != nil {
			return err
		}
		if done, err := try(r, text); err != nil || done != 0 {
			return err
		}
	}
	return errBusy
}

func (s *Store) run(ctx context.Context, script *redis.Script, view string, number int, text string, values ...any) (int, error) {
	keys := []string{s.versionsKey(view), s.activeKey(view)}
	return script.Run(ctx, s.rdb, keys, append([]any{number, text}, values...)...).Int()
}

// DropVersion implements [projection.ViewStore]. A drop that was interrupted
// is ended by dropping the version again.
func (s *Store) DropVersion(ctx context.Context, view string, number int) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	err := s.drop(ctx, view, number)
	if err != nil && !errors.Is(err, projection.ErrNoVersion) {
		return fmt.Errorf("redisview: drop view %q version %d: %w", view, number, err)
	}
	return nil
}

func (s *Store) drop(ctx context.Context, view string, number int) error {
	var dropped record
	err := s.swap(ctx, view, number, func(r record, text string) (int, error) {
		r.Dropping = true
		dropped = r
		hidden, err := json.Marshal(r)
		if err != nil {
			return 0, err
		}
		done, err := s.run(ctx, dropScript, view, number, text, string(hidden))
		if done < 0 {
			err = projection.ErrVersionActive
		}
		return done, err
	})
	if err != nil {
		return err
	}
	for p := range dropped.Partitions {
		if err := s.dropPartition(ctx, s.base(view, number, p)); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	if err := s.dropPerKey(ctx, view, &dropped); err != nil {
		return err
	}
	return s.rdb.HDel(ctx, s.versionsKey(view), strconv.Itoa(number)).Err()
}

// dropPartition removes the checkpoint first, which fences whoever still
// writes, and the registry last, which says what else there is.
func (s *Store) dropPartition(ctx context.Context, base string) error {
	if err := s.rdb.Unlink(ctx, base+checkpointSuffix, base+parkedSuffix).Err(); err != nil {
		return err
	}
	for suffixes, err := range s.registry(ctx, base) {
		if err != nil {
			return err
		}
		keys := make([]string, 0, len(suffixes))
		for _, suffix := range suffixes {
			keys = append(keys, base+suffix)
			if c, ok := strings.CutPrefix(suffix, counterPrefix); ok {
				keys = append(keys, base+rankingPrefix+c)
			}
		}
		if err := s.rdb.Unlink(ctx, keys...).Err(); err != nil {
			return err
		}
	}
	return s.rdb.Unlink(ctx, base+registrySuffix).Err()
}
