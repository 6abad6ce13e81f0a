#!lua
-- The version of the list of blocked end users, and all their names if it is not the known one.
--
-- KEYS  1 blocked end users (hash) · 2 version of that list (counter)
-- ARGV  1 the version that is known, empty to be told in any case

local version = redis.call('GET', KEYS[2]) or '0'
if version == ARGV[1] then return { version, {} } end
return { version, redis.call('HKEYS', KEYS[1]) }
