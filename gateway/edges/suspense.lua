#!lua
-- Resolves one operation in suspense, or a part of it, once: books what it really cost, or frees the money, and writes
-- it down.
--
-- KEYS  1 suspense (hash) · 2 receipt of the operation's settlement · 3 the books of its day · 4 audit log (stream)
--       then its purses; all share one hash tag
-- ARGV  1 operation id · 2 its record as the administrator saw it · 3 receipt's life (ms) · 4 day · 5 month
--       6 what is added to the purses (micro-dollars) · 7 what was billed · 8 line of the books
--       9 when the books may go (Unix seconds) · 10 audit line, empty where nobody did it by hand
--       11 the most lines that the audit log keeps · 12 the record of what stays in suspense, empty for nothing
--       then pairs: a further line of the books, what to add
-- Reply 1 resolved · 0 the record is gone or another one by now, and nothing is written

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[12] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[12]) end
-- whoever was thought dead and settles after all must not book it a second time
redis.call('SET', KEYS[2], 1, 'PX', ARGV[3])
for i = 5, #KEYS do
  for _, field in ipairs({ 'd' .. ARGV[4], 'm' .. ARGV[5], 't' }) do
    redis.call('HINCRBY', KEYS[i], field, ARGV[6])
  end
end
if ARGV[7] ~= '0' then redis.call('HINCRBY', KEYS[3], ARGV[8], ARGV[7]) end
for i = 13, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
if ARGV[7] ~= '0' or #ARGV > 12 then redis.call('EXPIREAT', KEYS[3], ARGV[9]) end
if ARGV[10] ~= '' then redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[11], '*', 'line', ARGV[10]) end
return 1
