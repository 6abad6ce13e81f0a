-- Who serves a request that names an Idempotency-Key, or that an SDK sent again: this operation, or an earlier one?
-- KEYS: 1 operation of the idempotency key (or of the fingerprint, where there is no key) · 2 operation of the
--       fingerprint · 3 the new operation · 4 leases · 5 epoch · 6 there while something may be missing
-- ARGV: 1 new operation · 2 fingerprint · 3 '1' with a key · 4 record · 5 state · 6 lease µs · 7 keep ms · 8 join ms
--       9 µs after delivery during which an SDK's retry still joins · 10 the memory that the asker has told all it
--       knows, empty: unchecked
-- An operation's own key differs from KEYS[3] by its id alone, so it lies in the same slot.
-- Replies: {'forgot'} (what Redis does not know may yet have been) · {'new'} · {'reused', id} · {'running' | 'dead', id, record} · {'over', id, record, delivered µs or ''}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local keyed = ARGV[3] == '1'
if ARGV[10] ~= '' then
  local ok, info = pcall(redis.call, 'INFO', 'server')
  local run = ok and string.match(info, 'run_id:(%w+)') or ''
  if (redis.call('GET', KEYS[5]) or '') .. ' ' .. run ~= ARGV[10] then return {'forgot'} end
end
local known = redis.call('GET', KEYS[1])
if known then
  local home = string.sub(KEYS[3], 1, #KEYS[3] - #ARGV[1]) .. known
  local seen = redis.call('HMGET', home, 'fp', 'state', 'doc', 'delivered')
  if seen[1] then
    if seen[1] ~= ARGV[2] then return {'reused', known} end
    if seen[2] == 'running' then
      local lease = redis.call('ZSCORE', KEYS[4], known)
      return {lease and tonumber(lease) > now and 'running' or 'dead', known, seen[3]}
    end
    local fresh = not seen[4] or now - tonumber(seen[4]) < tonumber(ARGV[9])
    if seen[2] ~= 'released' and (keyed or fresh) then return {'over', known, seen[3], seen[4] or ''} end
  end
end
if redis.call('EXISTS', KEYS[6]) == 1 then return {'forgot'} end
if keyed then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[7]) end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[8])
redis.call('HSET', KEYS[3], 'token', '1', 'version', '0', 'state', ARGV[5], 'fp', ARGV[2], 'doc', ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
redis.call('ZADD', KEYS[4], string.format('%.0f', now + ARGV[6]), ARGV[1])
return {'new'}
