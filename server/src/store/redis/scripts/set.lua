-- Writes `d` if it is still the text that the caller merged its change into; else returns an empty list, and the caller
-- merges again. `d` is not decoded here, because Lua's numbers would change those of the session.
-- KEYS: as in live.lua. ARGV: app, token, now, expected `d`, new `d` or ''.
local app, token, now, expected, merged = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local fields, idle, left = live(now)
if not fields then
  return nil
end
if (fields[5] or '') ~= expected then
  return {}
end
fields[3] = tostring(redis.call('HINCRBY', KEYS[1], 'w', 1))
touch(fields, idle, left, app, token, now)
if merged == '' then
  redis.call('HDEL', KEYS[1], 'd')
else
  redis.call('HSET', KEYS[1], 'd', merged)
end
return fields
