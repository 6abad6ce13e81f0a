#!lua
-- Blocks or unblocks one end user, if that changes anything, together with its line in the audit log.
--
-- KEYS  1 blocked end users (hash: name, since when) · 2 version of that list (counter) · 3 audit log (stream)
--       all share one hash tag
-- ARGV  1 name · 2 since when, empty to unblock · 3 audit line · 4 the most lines that the audit log keeps
-- Reply 1 done · 0 it was so already, and nothing is written

local changed
if ARGV[2] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[1])
else
  changed = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
end
if changed == 0 then return 0 end
redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'line', ARGV[3])
return 1
