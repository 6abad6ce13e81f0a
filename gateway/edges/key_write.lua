#!lua
-- Writes or deletes one key's record, if nobody changed it meanwhile, together with its line in the audit log.
--
-- KEYS  1 record (hash) · 2 version (counter) · 3 changes (sorted set: key ids by the version of their last change)
--       4 audit log (stream); all share one hash tag
-- ARGV  1 key id · 2 the revision that the change was made from, empty where there must be no record yet
--       3 audit line · 4 the most lines that the audit log keeps · then the record's names and values, none to delete
-- Reply: the new version; 0, with nothing written, where the record is another one by now

local revision = redis.call('HGET', KEYS[1], 'revision')
if (revision or '') ~= ARGV[2] then return 0 end

local version = redis.call('INCR', KEYS[2])
redis.call('DEL', KEYS[1])
if #ARGV > 4 then redis.call('HSET', KEYS[1], 'revision', version, unpack(ARGV, 5)) end
redis.call('ZADD', KEYS[3], version, ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'line', ARGV[3])
return version
