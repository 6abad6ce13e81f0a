-- Which memory Redis has: after FLUSHALL, a restart or a failover it is another one, and may lack what was told.
-- KEYS: 1 epoch
-- ARGV: 1 a fresh epoch, used where there is none
-- Replies: the memory's name, made as in journal_claim.lua
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local ok, info = pcall(redis.call, 'INFO', 'server')
return redis.call('GET', KEYS[1]) .. ' ' .. (ok and string.match(info, 'run_id:(%w+)') or '')
