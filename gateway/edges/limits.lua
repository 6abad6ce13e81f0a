#!lua
-- Takes all of a request's dimensions, or none. The shebang makes the server refuse before any write when it is
-- out of memory or a replica. The sums are those of gateway/policies/buckets.py; all times are whole microseconds,
-- all money whole micro-dollars, all of them below 2^53.
--
-- KEYS  1 receipt · one sorted set per lease · one bucket per dimension
--       then, with purses: reservations by expiry · reservations' records · suspense · one hash per purse
--       all share one hash tag
-- ARGV  1 operation id · 2 receipt's life (ms) · 3 number of leases · 4 number of purses · 5 amount · 6 its life (us)
--       then per lease: places, life (us) · per dimension: interval (us), burst, cost
--       per purse: ceilings of day, month, total (-1: none)
-- Reply, one text: verdict, which, wait, now, then each dimension's debt (us until the bucket is full)
--       and with purses: what is left in each, then the period that bound (1 day, 2 month, 3 total)
--   verdict 1 granted · 0 dimension `which` lacks for `wait` us · -1 dimension `which` can never hold the cost
--          -2 lease `which` has no place left · -3 purse `which` lacks for `wait` us (2^53-1: for ever)
-- A granted reply is kept as the receipt, so the same operation takes once however often it asks.
-- A refused call writes nothing, so that a flood of them leaves no trace (but reservations that ran out are cleared).

local receipt = redis.call('GET', KEYS[1])
if receipt then return receipt end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local leases, purses, amount = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first_bucket = 2 + leases
local dimensions = #KEYS - 1 - leases
if purses > 0 then dimensions = dimensions - purses - 3 end
local first_purse = first_bucket + dimensions + 3
local held, records, suspense = KEYS[first_purse - 3], KEYS[first_purse - 2], KEYS[first_purse - 1]
local never = 9007199254740991

-- tostring() keeps 14 digits only, and a moment in microseconds has 16
local function whole(number) return string.format('%.0f', number) end

-- The month that a day (since 1970) lies in, as year * 12 + month - 1, and the first day of the next one.
local function calendar(day)
  local year = 1970 + math.floor(day / 365.2425) - 1
  local function first_of(y)
    local past = y - 1
    return (y - 1970) * 365 + math.floor(past / 4) - math.floor(past / 100) + math.floor(past / 400) - 477
  end
  while first_of(year + 1) <= day do year = year + 1 end
  local length = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
  length[2] = first_of(year + 1) - first_of(year) - 337
  local next_first, month = first_of(year), 0
  repeat
    month = month + 1
    next_first = next_first + length[month]
  until next_first > day
  return year * 12 + month - 1, next_first
end

local function add(purse, day, month, change)
  for _, field in ipairs({ 'd' .. day, 'm' .. month, 't' }) do redis.call('HINCRBY', purse, field, whole(change)) end
end

-- Whoever held these is dead, or cut off for longer than is waited for: the money is free, the fact is listed.
local function clear_expired()
  for _, operation in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', whole(now), 'LIMIT', 0, 100)) do
    local record = redis.call('HGET', records, operation)
    if record then
      local reserved, day, month, names = string.match(record, '^(%d+) (%d+) (%d+) (.*)$')
      for purse in string.gmatch(names, '%S+') do add(purse, day, month, 0 - reserved) end
      redis.call('HSET', suspense, operation, 'lapsed ' .. record)
      redis.call('HDEL', records, operation)
    end
    redis.call('ZREM', held, operation)
  end
end

local full_at = {}
if dimensions > 0 then full_at = redis.call('MGET', unpack(KEYS, first_bucket, first_bucket + dimensions - 1)) end

local verdict, which, wait = 1, 0, 0
local debts, after = {}, {}
for i = 1, dimensions do
  local arg = 6 + 2 * leases + 3 * (i - 1)
  local interval, burst, cost = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  if cost > burst and verdict ~= -1 then verdict, which = -1, i end
  local capacity = interval * burst
  -- the upper bound heals a clock that jumped back and a limit that was lowered
  debts[i] = math.min(math.max(0, (tonumber(full_at[i]) or 0) - now), capacity)
  after[i] = debts[i] + interval * cost
  local lack = after[i] - capacity
  if lack > wait and verdict ~= -1 then verdict, which, wait = 0, i, lack end
end

local lefts, period, day, month = {}, 0, 0, 0
if purses > 0 then
  clear_expired()
  day = math.floor(clock[1] / 86400)
  local next_month
  month, next_month = calendar(day)
  local ends = { (day + 1) * 86400000000 - now, next_month * 86400000000 - now, never }
  for i = 1, purses do
    local spent = redis.call('HMGET', KEYS[first_purse + i - 1], 'd' .. day, 'm' .. month, 't')
    lefts[i] = never
    for p = 1, 3 do
      local ceiling = tonumber(ARGV[6 + 2 * leases + 3 * dimensions + 3 * (i - 1) + p])
      if ceiling >= 0 then
        local left = ceiling - (tonumber(spent[p]) or 0)
        lefts[i] = math.min(lefts[i], left)
        local lack = amount <= ceiling and ends[p] or never
        if amount > left and lack >= wait and verdict ~= -1 then
          verdict, which, wait, period = -3, i, lack, p
        end
      end
    end
  end
end

for i = 1, leases do
  local places = tonumber(ARGV[5 + 2 * i])
  if verdict == 1 and redis.call('ZCOUNT', KEYS[1 + i], '(' .. whole(now), '+inf') >= places then
    verdict, which = -2, i
  end
end

local function reply(levels, taken)
  local words = { whole(verdict), whole(which), whole(wait), whole(now) }
  for i = 1, dimensions do words[#words + 1] = whole(levels[i]) end
  for i = 1, purses do words[#words + 1] = whole(lefts[i] - taken) end
  if purses > 0 then words[#words + 1] = whole(period) end
  return table.concat(words, ' ')
end

if verdict ~= 1 then return reply(debts, 0) end

for i = 1, dimensions do
  -- one second longer than needed: a clock set back a little must not forget the debt
  redis.call('SET', KEYS[1 + leases + i], whole(now + after[i]), 'PX', whole(math.ceil(after[i] / 1000) + 1000))
end
for i = 1, leases do
  local life = tonumber(ARGV[6 + 2 * i])
  redis.call('ZREMRANGEBYSCORE', KEYS[1 + i], '-inf', whole(now))
  redis.call('ZADD', KEYS[1 + i], whole(now + life), ARGV[1])
  -- the longest-lived holder decides when the set may go
  local last = redis.call('ZRANGE', KEYS[1 + i], -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[1 + i], whole(math.ceil((tonumber(last[2]) - now) / 1000) + 1000))
end
if purses > 0 then
  local record = { whole(amount), whole(day), whole(month) }
  for i = 1, purses do
    local purse = KEYS[first_purse + i - 1]
    add(purse, whole(day), whole(month), amount)
    record[3 + i] = purse
  end
  redis.call('HSET', records, ARGV[1], table.concat(record, ' '))
  redis.call('ZADD', held, whole(now + tonumber(ARGV[6])), ARGV[1])
end
local granted = reply(after, amount)
redis.call('SET', KEYS[1], granted, 'PX', ARGV[2])
return granted
