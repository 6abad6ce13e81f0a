-- These operations' answers were taken by the client's end of the connection.
-- KEYS: the operations
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
for _, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'delivered', now) end
end
return 1
