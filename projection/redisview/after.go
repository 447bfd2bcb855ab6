package redisview

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// afterScript is a range that begins after a score and a member. No command
// does that: BYSCORE begins with all of one score, BYLEX compares members only.
// Where the member is gone, the place where it was is searched for, among those
// of its score. Members are compared by bytes as sorted sets do it, not by <,
// which depends on the locale.
var afterScript = redis.NewScript(`
local key, score, member, min, max = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local offset, limit, reverse = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local function before(bound) return redis.call('ZCOUNT', key, '-inf', bound) end

local low = before('(' .. score)
local high = low + redis.call('ZCOUNT', key, score, score)
local at, after
local rank = redis.call('ZRANK', key, member)
if rank and rank >= low and rank < high then
  at, after = rank, rank + 1
else
  while low < high do
    local middle = math.floor((low + high) / 2)
    if less(redis.call('ZRANGE', key, middle, middle)[1], member) then
      low = middle + 1
    else
      high = middle
    end
  end
  at, after = low, low
end

local from, to = before('(' .. min), before(max) - 1
if reverse then
  to = math.min(to, at - 1) - offset
  if limit > 0 then from = math.max(from, to - limit + 1) end
else
  from = math.max(from, after) + offset
  if limit > 0 then to = math.min(to, from + limit - 1) end
end
if to < from then return {} end
return redis.call('ZRANGE', key, from, to, 'WITHSCORES')`)

func rangeAfter(ctx context.Context, pipe redis.Pipeliner, zset string, r *projection.Range) rangeCmd {
	return inOrder(afterScript.EvalSha(ctx, pipe, []string{zset}, afterArgs(r)...), r.Reverse)
}

// rangeAfterText is rangeAfter for a server that does not know the script.
func rangeAfterText(ctx context.Context, pipe redis.Pipeliner, zset string, r *projection.Range) rangeCmd {
	return inOrder(afterScript.Eval(ctx, pipe, []string{zset}, afterArgs(r)...), r.Reverse)
}

func afterArgs(r *projection.Range) []any {
	reverse := "0"
	if r.Reverse {
		reverse = "1"
	}
	return []any{number(r.After.Score), r.After.Member, bound(r.Min, "-inf"), bound(r.Max, "+inf"), max(r.Offset, 0), max(r.Limit, 0), reverse}
}

// inOrder reads members and scores, which come lowest first.
func inOrder(get *redis.Cmd, reverse bool) rangeCmd {
	return func() ([]projection.Member, error) {
		pairs, err := get.StringSlice()
		if err != nil {
			return nil, fmt.Errorf("unexpected reply of the script for pages: %w", err)
		}
		members := make([]projection.Member, len(pairs)/2)
		for i := range members {
			score, err := strconv.ParseFloat(pairs[2*i+1], 64)
			if err != nil {
				return nil, &malformedError{pairs[2*i], pairs[2*i+1], "a score"}
			}
			at := i
			if reverse {
				at = len(members) - 1 - i
			}
			members[at] = projection.Member{Member: pairs[2*i], Score: score}
		}
		return members, nil
	}
}
