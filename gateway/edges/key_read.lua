#!lua
-- The records of several keys at once.
--
-- KEYS  the records (hashes)
-- Reply: for each its names and values, nothing for one that is not there

local records = {}
for i = 1, #KEYS do records[i] = redis.call('HGETALL', KEYS[i]) end
return records
