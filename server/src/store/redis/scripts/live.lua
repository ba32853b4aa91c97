-- KEYS: the session, the app's sessions, the app's users, the expirations of all apps.

-- A session's fields, its idle seconds and its remaining seconds; nil if it is missing or expired. Two racing calls of
-- the original can leave a session without some of its fields: it counts as missing.
local function live(now)
  local fields = redis.call('HMGET', KEYS[1], 'id', 'r', 'w', 'ttl', 'd', 'la', 'ip', 'no_resave')
  local ttl, last = tonumber(fields[4]), tonumber(fields[6])
  if not fields[1] or not fields[7] or not ttl or not last or now - last > ttl then
    return nil
  end
  local idle = now - last
  return fields, idle, fields[8] == '1' and ttl - idle or ttl
end

-- Records a use. The ttl of a session that does not slide is always written together with the last activity, because
-- their sum has to stay the same.
local function touch(fields, idle, left, app, token, now)
  redis.call('ZADD', KEYS[2], now, token .. ':' .. fields[1])
  redis.call('ZADD', KEYS[3], now, fields[1])
  redis.call('ZADD', KEYS[4], now + left, app .. ':' .. token .. ':' .. fields[1])
  if idle > 1 then
    redis.call('HSET', KEYS[1], 'la', now)
    if fields[8] == '1' then
      redis.call('HSET', KEYS[1], 'ttl', left)
    end
  end
end

