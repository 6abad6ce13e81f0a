#!lua
-- Ends an operation, once: leaves its places, turns its reservation into what was really spent, and writes the books.
-- Whatever is settled is booked to the day and month in which it was reserved.
--
-- KEYS  1 receipt of this settlement · 2 reservations by expiry · 3 their records · 4 suspense · 5 start of the names
--       of the books (the day is appended) · one sorted set per lease · then the purses to book to without a record
--       all share one hash tag
-- ARGV  1 operation id · 2 receipt's life (ms) · 3 micro-dollars to keep · 4 of them, or beside them, in suspense
--       5 day and 6 month where there is no record · 7 note · 8 number of leases · 9 days that books are kept
--       then pairs: line of the books, what to add; a line that begins with @ is an end user instead, whose refused
--       prompts are counted for 30 days, in a hash of their own for each day
-- Reply 1 settled · 0 was settled before

if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[2]) then return 0 end

local function whole(number) return string.format('%.0f', number) end

local operation, keep, suspended = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local leases = tonumber(ARGV[8])
for i = 1, leases do redis.call('ZREM', KEYS[5 + i], operation) end

local record, free = redis.call('HGET', KEYS[3], operation), false
if record then
  redis.call('HDEL', KEYS[3], operation)
  redis.call('ZREM', KEYS[2], operation)
else
  record = redis.call('HGET', KEYS[4], operation)
  record = record and string.match(record, '^lapsed (.*)$')
  if record then
    free = true
    redis.call('HDEL', KEYS[4], operation)
  end
end

local reserved, day, month, names = 0, ARGV[5], ARGV[6], table.concat(KEYS, ' ', 6 + leases)
if record then
  reserved, day, month, names = string.match(record, '^(%d+) (%d+) (%d+) (.*)$')
  if free then reserved = 0 end
end
for purse in string.gmatch(names, '%S+') do
  for _, field in ipairs({ 'd' .. day, 'm' .. month, 't' }) do
    redis.call('HINCRBY', purse, field, whole(keep - reserved))
  end
  -- a purse remembers a year of days
  if redis.call('HLEN', purse) > 400 then
    for _, field in ipairs(redis.call('HKEYS', purse)) do
      local old = string.match(field, '^d(%d+)$')
      if old and tonumber(old) < tonumber(day) - 366 then redis.call('HDEL', purse, field) end
    end
  end
end
if suspended > 0 then
  redis.call('HSET', KEYS[4], operation, table.concat({ 'unknown', whole(suspended), day, month, names, '|', ARGV[7] }, ' '))
end

local books, refused = KEYS[5] .. day, KEYS[5] .. 'refused:' .. day
for i = 10, #ARGV, 2 do
  local user = string.match(ARGV[i], '^@(.*)$')
  if user then
    redis.call('HINCRBY', refused, user, ARGV[i + 1])
    redis.call('EXPIREAT', refused, whole((tonumber(day) + 31) * 86400))
  else
    redis.call('HINCRBY', books, ARGV[i], ARGV[i + 1])
  end
end
if #ARGV > 9 then redis.call('EXPIREAT', books, whole((tonumber(day) + tonumber(ARGV[9]) + 1) * 86400)) end
return 1
