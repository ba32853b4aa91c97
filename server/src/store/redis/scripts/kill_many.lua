-- Ends the sessions given as pairs of token and id. With a time, only those that expire before it: a session may have
-- been used since the caller read its expiration.
-- KEYS: as in remove.lua. ARGV: key prefix, app, time or '', then token, id, token, id, ...
local prefix, app, before = ARGV[1], ARGV[2], tonumber(ARGV[3])
local removed = 0
for i = 4, #ARGV, 2 do
  local token, id = ARGV[i], ARGV[i + 1]
  local ends = before and tonumber(redis.call('ZSCORE', KEYS[3], app .. ':' .. token .. ':' .. id))
  if not before or (ends and ends < before) then
    removed = removed + remove(prefix, app, token, id)
  end
end
return removed
