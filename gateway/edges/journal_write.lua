-- Write an operation's record, unless its writer has lost the operation to another one.
-- KEYS: 1 the operation · 2 leases · 3 unknown outcomes · 4 operation of its fingerprint · 5 of its idempotency key
-- ARGV: 1 operation · 2 token · 3 version · 4 record · 5 state · 6 fingerprint · 7 '1' with a key · 8 lease µs
--       9 keep ms · 10 join ms · 11 seconds since the epoch · 12 the moment it began, µs
-- Replies: 1 written · 0 fenced off
-- A record that is not there (new, or lost with Redis's memory) is made whole, with all that leads to it. What is told
-- again comes in any order: the fingerprint leads to the operation that began last, and never to a released one. Where
-- Redis had forgotten a key, two operations may have it: the second is the heir of the first, should that be released.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local seen = redis.call('HMGET', KEYS[1], 'token', 'version')
local token, version = tonumber(ARGV[2]), tonumber(ARGV[3])
if seen[1] then
  local held = tonumber(seen[1])
  if held > token then return 0 end
  if held == token and tonumber(seen[2]) >= version then return 1 end
elseif ARGV[5] ~= 'released' then
  local home = string.sub(KEYS[1], 1, #KEYS[1] - #ARGV[1])
  local other = redis.call('GET', KEYS[4])
  local known = other and redis.call('HMGET', home .. other, 'fp', 'begun')
  local newer = known and known[1] and (not known[2] or tonumber(known[2]) > tonumber(ARGV[12]))
  if not newer then redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[10]) end
  if ARGV[7] == '1' and not redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[9], 'NX') then
    local last, heir = nil, redis.call('GET', KEYS[5])
    for _ = 1, 16 do -- a script must end, whatever it finds
      if not heir or heir == ARGV[1] then break end
      last, heir = home .. heir, redis.call('HGET', home .. heir, 'heir')
    end
    if not heir and redis.call('EXISTS', last) == 1 then redis.call('HSET', last, 'heir', ARGV[1]) end
  end
end
redis.call('HSET', KEYS[1], 'token', token, 'version', version, 'state', ARGV[5], 'fp', ARGV[6], 'doc', ARGV[4],
  'begun', ARGV[12])
redis.call('PEXPIRE', KEYS[1], ARGV[9])
if ARGV[5] == 'running' then
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[8]), ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
  if ARGV[5] == 'released' then
    if redis.call('GET', KEYS[4]) == ARGV[1] then redis.call('DEL', KEYS[4]) end
    if ARGV[7] == '1' and redis.call('GET', KEYS[5]) == ARGV[1] then
      local heir = redis.call('HGET', KEYS[1], 'heir')
      if heir then redis.call('SET', KEYS[5], heir, 'PX', ARGV[9]) else redis.call('DEL', KEYS[5]) end
    end
  end
end
if ARGV[5] == 'unknown' then
  redis.call('ZADD', KEYS[3], ARGV[11], ARGV[1])
else
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return 1
