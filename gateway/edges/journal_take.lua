-- Take an operation over: its writer is dead, or it is over and is to be worked on once more.
-- KEYS: 1 the operation · 2 leases
-- ARGV: 1 operation · 2 lease µs · 3.. states besides a dead 'running' from which it may be taken
-- Replies: nil (somebody has it, or it is gone) · {new token, record}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local seen = redis.call('HMGET', KEYS[1], 'state', 'doc')
if not seen[1] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return nil
end
local free = false
if seen[1] == 'running' then
  local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
  free = not lease or tonumber(lease) <= now
else
  for i = 3, #ARGV do free = free or ARGV[i] == seen[1] end
  if not free then redis.call('ZREM', KEYS[2], ARGV[1]) end
end
if not free then return nil end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
redis.call('HSET', KEYS[1], 'state', 'running', 'version', '0')
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
return {token, seen[2]}
