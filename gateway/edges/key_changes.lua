#!lua
-- What changed since a version: the current version, then ids and versions of changed keys, oldest change first.
--
-- KEYS  1 version (counter) · 2 changes (sorted set)
-- ARGV  1 the version that is known · 2 the most ids to name

local version = redis.call('GET', KEYS[1]) or '0'
return { version, redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', '0', ARGV[2]) }
