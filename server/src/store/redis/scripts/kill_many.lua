-- Ends the sessions given as pairs of token and id. With a time, only those that expire before it: a session may have
-- been used since the caller read its expiration. Returns how many it ended, then the positions of the pairs, from 1,
-- that could not be removed because one of their keys has another type.
-- KEYS: as in remove.lua. ARGV: key prefix, app, time or '', then token, id, token, id, ...
local prefix, app, before = ARGV[1], ARGV[2], tonumber(ARGV[3])
local result = {0}
for i = 4, #ARGV, 2 do
  local token, id = ARGV[i], ARGV[i + 1]
  local ends = before and tonumber(redis.call('ZSCORE', KEYS[3], app .. ':' .. token .. ':' .. id))
  if not before or (ends and ends < before) then
    local kind = redis.call('TYPE', prefix .. 'us:' .. id).ok
    if kind ~= 'set' and kind ~= 'none' then
      result[#result + 1] = (i - 2) / 2
    else
      result[1] = result[1] + remove(prefix, app, token, id)
    end
  end
end
return result
