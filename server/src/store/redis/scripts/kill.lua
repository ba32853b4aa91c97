-- Ends one session. Returns how many it ended; -1 if the call is repeated because its answer was lost, and there is no
-- session: the first run may have ended it.
-- KEYS: as in live.lua. ARGV: key prefix, app, token, time or '', '1' if repeated.
local prefix, app, token, now, repeated = ARGV[1], ARGV[2], ARGV[3], seconds(ARGV[4]), ARGV[5] == '1'
local fields = live(now)
if not fields then
  return repeated and -1 or 0
end
return remove(prefix, app, token, fields[1])
