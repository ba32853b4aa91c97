-- Writes `d` if it still is what the caller merged into: an empty answer tells it to merge again. The text is never
-- decoded here, since Lua's numbers would change those of the session.
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
