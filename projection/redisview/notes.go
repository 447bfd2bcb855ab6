package redisview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A note is a field of a hash whose value is the time when it expires, in
// milliseconds of the server's clock or 0 for never, a colon, and the note's
// value. What cannot be read counts as
// expired. Redis itself lets fields of a hash expire only since version 7.4.
const luaNow = `
local function now()
	local t = redis.call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function read(stored, at)
	local colon = string.find(stored, ':', 1, true) or 1
	local expires = tonumber(string.sub(stored, 1, colon - 1))
	if not expires or (expires ~= 0 and expires <= at) then return nil end
	return string.sub(stored, colon + 1)
end
`

var (
	notesScript = redis.NewScript(luaNow + `
local found, at = {}, now()
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local value = read(all[i + 1], at)
	if value then
		found[#found + 1] = all[i]
		found[#found + 1] = value
	else
		redis.call('HDEL', KEYS[1], all[i])
	end
end
return found`)
	putNoteScript = redis.NewScript(luaNow + `
local expires = tonumber(ARGV[3])
if expires ~= 0 then expires = now() + expires end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', expires) .. ':' .. ARGV[2])
return 0`)
	takeNoteScript = redis.NewScript(luaNow + `
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
return read(stored, now()) or false`)
)

// Notes implements [projection.ViewStore]. Time is the server's.
func (s *Store) Notes(ctx context.Context, view string) (map[string][]byte, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	all, err := notesScript.Run(ctx, s.rdb, []string{s.notesKey(view)}).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("redisview: notes of view %q: %w", view, err)
	}
	notes := make(map[string][]byte, len(all)/2)
	for i := 0; i+1 < len(all); i += 2 {
		notes[all[i]] = []byte(all[i+1])
	}
	return notes, nil
}

// PutNote implements [projection.ViewStore]. Time is the server's.
func (s *Store) PutNote(ctx context.Context, view, name string, value []byte, ttl time.Duration) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	if ttl < 0 {
		return fmt.Errorf("redisview: view %q: note %q: it cannot expire after %s", view, name, ttl)
	}
	var err error
	if value == nil {
		err = s.rdb.HDel(ctx, s.notesKey(view), name).Err()
	} else {
		err = putNoteScript.Run(ctx, s.rdb, []string{s.notesKey(view)}, name, value, milliseconds(ttl)).Err()
	}
	if err != nil {
		return fmt.Errorf("redisview: view %q: put note %q: %w", view, name, err)
	}
	return nil
}

// TakeNote implements [projection.ViewStore]. A note whose reply is lost is
// taken all the same.
func (s *Store) TakeNote(ctx context.Context, view, name string) ([]byte, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	value, err := takeNoteScript.Run(ctx, s.rdb, []string{s.notesKey(view)}, name).Text()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("redisview: view %q: take note %q: %w", view, name, err)
	}
	return []byte(value), nil
}
