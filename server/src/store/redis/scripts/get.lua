-- Reads one session as it is before this use, and counts the use. KEYS: as in live.lua. ARGV: app, token, now.
local app, token, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local fields, idle, left = live(now)
if not fields then
  return nil
end
redis.call('HINCRBY', KEYS[1], 'r', 1)
touch(fields, idle, left, app, token, now)
return fields
