-- Seconds since 1970: by the clock of Redis, so that no instance of the service ends a session because its own clock is
-- wrong. Tests give the time.
local function seconds(given)
  return tonumber(given) or tonumber(redis.call('TIME')[1])
end

