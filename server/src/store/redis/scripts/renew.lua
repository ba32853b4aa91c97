-- Gives a session a new token: a new session takes its place, if it is still the one that the caller merged its change
-- into, by `w` and `d`; else returns the present `w` and `d`, and the caller merges again. `d` is not decoded here, because
-- Lua's numbers would change those of the session.
-- The caller chooses the new token once. If this call is repeated after a lost answer, a session with that token shows that
-- the first run was executed.
-- A session that does not slide keeps its end.
-- KEYS: as in live.lua, then the user's tokens, the new session. ARGV: app, token, time or '', expected `w`, expected `d`,
-- new token, new `d` or ''.
local app, token, now = ARGV[1], ARGV[2], seconds(ARGV[3])
local expected_w, expected_d, renewed, merged = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local fields, _, left = live(now)
if not fields then
  return redis.call('HMGET', KEYS[6], 'id')[1] and 1 or nil
end
-- As text: a `w` that is no integer is compared, too.
local w, d = fields[3] or '', fields[5] or ''
if w ~= expected_w or d ~= expected_d then
  return {w, d}
end
local fixed = fields[8] == '1'
add(KEYS[6], KEYS[5], app, renewed, now, fields[1], fields[7], fixed and left or fields[4], merged)
if fixed then
  redis.call('HSET', KEYS[6], 'no_resave', '1')
end
remove(string.sub(KEYS[4], 1, -#token - 1), app, token, fields[1])
return 1
