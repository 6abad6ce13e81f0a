#!lua
-- Adds to buckets, once, what a replica granted by itself while it could not ask.
--
-- KEYS  1 receipt · then one bucket per dimension; all share one hash tag
-- ARGV  1 receipt's life (ms) · then per dimension: what was used (us)
-- Reply 1 added · 0 was added before

if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) then return 0 end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for i = 2, #KEYS do
  local debt = math.max(0, tonumber(redis.call('GET', KEYS[i]) or 0) - now) + tonumber(ARGV[i])
  local life = string.format('%.0f', math.ceil(debt / 1000) + 1000)
  redis.call('SET', KEYS[i], string.format('%.0f', now + debt), 'PX', life)
end
return 1
