#!lua
-- Says that a replica lives, and counts who else does.
--
-- KEYS  1 sorted set of replicas by the moment (us) at which they count as gone
-- ARGV  1 replica · 2 how long one beat counts (us)
-- Reply the number of living replicas

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(tonumber(ARGV[2]) / 1000)))
return redis.call('ZCARD', KEYS[1])
