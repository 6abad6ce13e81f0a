-- Say that the writers of these operations live.
-- KEYS: 1 leases · 2.. the operations
-- ARGV: 1 lease µs · then for each operation its id and its writer's token
-- Replies: the ids that another writer has taken. One that is gone (Redis forgot) is nobody's: its next write makes it.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local lost = {}
for i = 2, #KEYS do
  local id, token = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local held = redis.call('HGET', KEYS[i], 'token')
  if held == token then
    redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', now + ARGV[1]), id)
  elseif held then
    lost[#lost + 1] = id
  end
end
return lost
