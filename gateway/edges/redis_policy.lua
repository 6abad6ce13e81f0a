#!lua flags=no-writes
-- Tells what the server does when its memory is full. A script, so that in a cluster the node answers that holds
-- our keys, and a user who may not ask INFO is told apart from an outage.
--
-- KEYS  1 any key of ours
-- Reply the policy, or nothing where it is not told

local told = redis.pcall('INFO', 'memory')
if type(told) ~= 'string' then return '' end
return string.match(told, 'maxmemory_policy:([%w-]+)') or ''
