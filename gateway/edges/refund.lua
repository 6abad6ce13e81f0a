#!lua
-- Gives units back to buckets, once per operation and only if the operation took them (its receipt says so).
--
-- KEYS  1 receipt of the taking · 2 receipt of this refund · then one bucket per dimension; all share one hash tag
-- ARGV  1 life of the refund's receipt (ms) · then per dimension: interval times units (us)
-- Reply 1 given back · 0 nothing to do

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) then return 0 end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for i = 3, #KEYS do
  local full_at = tonumber(redis.call('GET', KEYS[i]) or 0) - tonumber(ARGV[i - 1])
  if full_at > now then
    local life = string.format('%.0f', math.ceil((full_at - now) / 1000) + 1000)
    redis.call('SET', KEYS[i], string.format('%.0f', full_at), 'PX', life)
  else
    redis.call('DEL', KEYS[i])
  end
end
return 1
