-- Ends one session. Returns how many it ended; -1 if the call is repeated because its answer was lost, and there is no
-- session: the first run may have ended it.
-- KEYS: as in live.lua. ARGV: app, token, time or '', '1' if repeated.
local app, token, now, repeated = ARGV[1], ARGV[2], seconds(ARGV[3]), ARGV[4] == '1'
local fields = live(now)
if not fields then
  return repeated and -1 or 0
end
return remove(string.sub(KEYS[4], 1, -#token - 1), app, token, fields[1])
