#!lua
-- Ends an attempt's place, or its waiting, and learns from how it ended, as gateway/policies/pacing.py tells.
--
-- KEYS  1 flight · 2 queue · 3 alive · 4 state, as in pacing.lua
-- ARGV  1 `<images>:<attempt>` · 2 accepted (which ends nothing), served, throttled or other
--       3 moment of the grant (us) · 4 pause (us) · 5 calls in flight at the start · 6 and at most · 7 state's life (ms)
-- Reply, one text: the limit of calls in flight, now
-- Ending twice counts once: an attempt is served only while it is under way, and cuts only what began before the cut.

local flight, state = KEYS[1], KEYS[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function whole(number) return string.format('%.0f', number) end
local function land(members)
  local sum = 0
  for _, member in ipairs(members) do sum = sum + tonumber(string.match(member, '^%d+')) end
  if sum > 0 and redis.call('HEXISTS', state, 'flying') == 1 then redis.call('HINCRBY', state, 'flying', -sum) end
end

local over = redis.call('ZRANGEBYSCORE', flight, '-inf', whole(now))
if #over > 0 then
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', whole(now))
  land(over)
end
local in_flight = redis.call('ZCARD', flight)
local was_under_way
if ARGV[2] == 'accepted' then
  was_under_way = redis.call('ZSCORE', flight, ARGV[1])
else
  was_under_way = redis.call('ZREM', flight, ARGV[1]) == 1
  if was_under_way then land({ ARGV[1] }) end
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end

local known = redis.call('HMGET', state, 'limit', 'wins', 'cut', 'paused_until')
local limit, wins = tonumber(known[1]) or tonumber(ARGV[5]), tonumber(known[2]) or 0
local cut, paused_until = tonumber(known[3]) or -1, tonumber(known[4]) or 0
local is_win = ARGV[2] == 'served' or ARGV[2] == 'accepted'
if is_win and was_under_way and 2 * in_flight >= limit then
  wins = wins + 1
  -- what was accepted keeps its own place: only one more would be no growth
  local more = (cut < 0 and ARGV[2] == 'accepted') and 2 or 1
  if cut < 0 or wins >= limit then wins, limit = 0, math.min(limit + more, math.max(limit, tonumber(ARGV[6]))) end
elseif ARGV[2] == 'throttled' then
  paused_until = math.max(paused_until, now + tonumber(ARGV[4]))
  if was_under_way and tonumber(ARGV[3]) > cut then
    cut, wins, limit = now, 0, math.max(1, math.floor(limit * 7 / 10))
  end
else
  return whole(limit) .. ' ' .. whole(now)
end
redis.call('HSET', state, 'limit', limit, 'wins', wins, 'cut', whole(cut), 'paused_until', whole(paused_until))
redis.call('PEXPIRE', state, ARGV[7])
return whole(limit) .. ' ' .. whole(now)
