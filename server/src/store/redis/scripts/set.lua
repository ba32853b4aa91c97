-- Writes `d` if the session is still the one that the caller merged its changes into, by `w` and `d`; else returns the
-- present `w` and `d`, and the caller merges again. `d` is not decoded here, because Lua's numbers would change those of
-- the session.
-- Each set raises `w`. If this call is repeated after a lost answer, an unchanged `w` shows that the first run was not
-- executed. If `w` and `d` are what the first run would have left, the script returns success. Otherwise it returns 0: the
-- outcome is unknown.
-- KEYS: as in live.lua. ARGV: app, token, time or '', expected `w`, expected `d`, number of changes, new `d` or '',
-- '1' if repeated.
local app, token, now = ARGV[1], ARGV[2], seconds(ARGV[3])
local expected_w, expected_d, changes = ARGV[4], ARGV[5], tonumber(ARGV[6])
local merged, repeated = ARGV[7], ARGV[8] == '1'
local fields, idle, left = live(now)
if not fields then
  return nil
end
fields[9] = tostring(now)
-- As text: a `w` that is no integer is compared, too.
local w, d = tonumber(fields[3]) or 0, fields[5] or ''
if (fields[3] or '') ~= expected_w or d ~= expected_d then
  if not repeated then
    return {fields[3] or '', d}
  end
  if w == (tonumber(expected_w) or 0) + changes and d == merged then
    return fields
  end
  return 0
end
if merged == '' then
  redis.call('HSET', KEYS[4], 'w', w + changes)
  redis.call('HDEL', KEYS[4], 'd')
else
  redis.call('HSET', KEYS[4], 'w', w + changes, 'd', merged)
end
touch(fields, idle, left, app, token, now)
-- The caller knows what `d` is now.
fields[5] = false
return fields
