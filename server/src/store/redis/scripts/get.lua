-- Reads one session as it is before this use: its fields and the time. If the session was idle for too long, end_idle.lua
-- continues.
-- KEYS: as in live.lua. ARGV: app, token, time or '', longest idle seconds or '', and what to write:
--   'use'       counts a use
--   'repeated'  records a use that may have been counted
--   'end'       only ends a session that was idle for too long
--   'nothing'   writes nothing, for a Redis that refuses writes
local app, token, now, limit, mode = ARGV[1], ARGV[2], seconds(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local fields, idle, left = live(now)
if not fields then
  return nil
end
local unused = idle
if limit and idle > limit then
  -- `la` may be older than the last use, by a second; the score is not.
  local used = tonumber(redis.call('ZSCORE', KEYS[1], token .. ':' .. fields[1])) or 0
  unused = math.min(idle, now - used)
end
if not limit or unused <= limit then
  if mode == 'use' then
    redis.call('HINCRBY', KEYS[4], 'r', 1)
  end
  if mode == 'use' or mode == 'repeated' then
    touch(fields, idle, left, app, token, now)
  end
  fields[9] = tostring(now)
  return fields
end

