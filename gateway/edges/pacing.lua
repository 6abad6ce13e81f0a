#!lua
-- Gives an attempt its place at a vendor's account, or tells it how long to wait. The sums are those of
-- gateway/policies/pacing.py; all numbers are whole microseconds, images or calls.
--
-- KEYS  1 flight: attempts under way by the moment their place falls free · 2 recent: attempts by the moment they began
--       3 queue: who waits, by arrival · 4 alive: who waits, by the moment its ticket is void
--       5 state: a hash, in which `flying` is the sum of the images in flight (counted anew where it is missing)
--       Members are `<images>:<attempt>`; all keys share one hash tag.
--       6 may be a receipt: without it nothing is given, or written, and -1 is the reply's first word
-- ARGV  1 attempt · 2 images · 3 place's life · then limits, 0 for none: 4 calls a window · 5 images a window
--       6 images in flight · 7 window · 8 calls in flight at the start · 9, 10, 11 time to look again: first, for each
--       ticket ahead, latest · 12 a ticket's grace · 13 the longest pause · 14 state's life (ms)
-- Reply, one text: granted (1 or 0), moment of the grant or time to wait, limit of calls in flight, now, images in flight
-- The same attempt gets only one place, however often it asks. What nobody ends falls free by itself.
-- Thousands may be under way and thousands wait: nothing here looks at each of them but where a limit of images binds.

if KEYS[6] and redis.call('EXISTS', KEYS[6]) == 0 then return '-1 0 0 0 0' end

local flight, recent, queue, alive, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local images, life = tonumber(ARGV[2]), tonumber(ARGV[3])
local calls_a_window, images_a_window, most_images = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local window = tonumber(ARGV[7])
local me = ARGV[2] .. ':' .. ARGV[1]

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- tostring() keeps 14 digits only, and a moment in microseconds has 16
local function whole(number) return string.format('%.0f', number) end
local function images_of(member) return tonumber(string.match(member, '^%d+')) end
local function images_in(members)
  local sum = 0
  for _, member in ipairs(members) do sum = sum + images_of(member) end
  return sum
end

local known = redis.call('HMGET', state, 'limit', 'paused_until', 'flying')
local limit = tonumber(known[1]) or tonumber(ARGV[8])
local paused_until = math.min(tonumber(known[2]) or 0, now + tonumber(ARGV[13]))

local over = redis.call('ZRANGEBYSCORE', flight, '-inf', whole(now))
if #over > 0 then
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', whole(now))
  if known[3] then redis.call('HINCRBY', state, 'flying', -images_in(over)) end
end
local flying = tonumber(known[3])
if flying then flying = flying - images_in(over) else flying = images_in(redis.call('ZRANGE', flight, 0, -1)) end

redis.call('ZREMRANGEBYSCORE', recent, '-inf', whole(now - window))
local function void(from, to)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', alive, from, to)) do
    redis.call('ZREM', queue, gone)
    redis.call('ZREM', alive, gone)
  end
end
void('-inf', whole(now))
-- what lies too far ahead is from before the clock was set back, and would stand for as long as that
local longest = math.max(tonumber(ARGV[13]), window)
redis.call('ZREMRANGEBYSCORE', recent, '(' .. whole(now), '+inf')
void('(' .. whole(now + longest + tonumber(ARGV[12])), '+inf')

local function reply(granted, number)
  return table.concat({ granted, whole(number), whole(limit), whole(now), whole(flying) }, ' ')
end

local ends = redis.call('ZSCORE', flight, me)
if ends then return reply(1, tonumber(ends) - life) end

local ahead = redis.call('ZRANK', queue, me) or redis.call('ZCARD', queue)
local calls, wanted = ahead + 1, images
if ahead > 0 and (most_images > 0 or images_a_window > 0) then
  wanted = wanted + images_in(redis.call('ZRANGE', queue, 0, ahead - 1))
end
local wait = math.max(0, paused_until - now)

local full = most_images > 0 and flying + wanted > most_images
if full or redis.call('ZCARD', flight) + calls > limit then
  wait = math.max(wait, math.min(tonumber(ARGV[9]) + tonumber(ARGV[10]) * ahead, tonumber(ARGV[11])))
end

-- when the attempts of the last window take no more than `room` units
local function until_room(room, over, units_of)
  over = over - room
  if over <= 0 then return 0 end
  local last = now + tonumber(ARGV[9]) - window
  local began = redis.call('ZRANGE', recent, 0, -1, 'WITHSCORES')
  for i = 1, #began, 2 do
    last = tonumber(began[i + 1])
    over = over - units_of(began[i])
    if over <= 0 then break end
  end
  return last + window - now
end
if calls_a_window > 0 then
  local seen = redis.call('ZCARD', recent)
  wait = math.max(wait, until_room(calls_a_window - calls, seen, function() return 1 end))
end
if images_a_window > 0 then
  local seen = images_in(redis.call('ZRANGE', recent, 0, -1))
  wait = math.max(wait, until_room(images_a_window - wanted, seen, images_of))
end

if wait > 0 then
  redis.call('ZADD', queue, 'NX', whole(now), me)
  redis.call('ZADD', alive, whole(now + wait + tonumber(ARGV[12])), me)
  -- no ticket lives longer than the longest of them, so both sets go when the last waiter is surely gone
  local last = redis.call('ZRANGE', alive, -1, -1, 'WITHSCORES')
  local left = whole(math.ceil((tonumber(last[2]) - now) / 1000) + 1000)
  redis.call('PEXPIRE', queue, left)
  redis.call('PEXPIRE', alive, left)
  return reply(0, wait)
end

redis.call('ZREM', queue, me)
redis.call('ZREM', alive, me)
redis.call('ZADD', flight, whole(now + life), me)
local last = redis.call('ZRANGE', flight, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', flight, whole(math.ceil((tonumber(last[2]) - now) / 1000) + 1000))
flying = flying + images
redis.call('HSET', state, 'flying', whole(flying))
redis.call('PEXPIRE', state, ARGV[14])
if calls_a_window > 0 or images_a_window > 0 then
  redis.call('ZADD', recent, whole(now), me)
  redis.call('PEXPIRE', recent, whole(math.ceil(window / 1000) + 1000))
end
return reply(1, now)
