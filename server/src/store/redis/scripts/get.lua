-- Reads one session as it is before this use: its fields and the time. Returns 0 if it was idle for too long.
-- KEYS: as in live.lua. ARGV: app, token, time or '', longest idle seconds or '', and what to write:
-- 'use' counts a use, 'repeated' records one that may have been counted, 'end' only ends a session that was idle for too
-- long, 'nothing' is for a Redis that refuses writes.
local app, token, now, limit, mode = ARGV[1], ARGV[2], seconds(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local fields, idle, left = live(now)
if not fields then
  return nil
end
if limit and idle > limit then
  -- `la` may be older than the last use, by a second; the score is not.
  local used = tonumber(redis.call('ZSCORE', KEYS[1], token .. ':' .. fields[1])) or 0
  if math.min(idle, now - used) > limit then
    if mode ~= 'nothing' then
      remove(string.sub(KEYS[4], 1, -#token - 1), app, token, fields[1])
    end
    return 0
  end
end
if mode == 'use' then
  redis.call('HINCRBY', KEYS[4], 'r', 1)
end
if mode == 'use' or mode == 'repeated' then
  touch(fields, idle, left, app, token, now)
end
fields[9] = tostring(now)
return fields
