-- KEYS: the app's sessions, the app's users, the expirations of all apps, the session.
-- Records a use. The ttl of a session that does not slide is always written together with the last activity, because
-- their sum has to stay the same. A use in the second of the last activity would write what is there.
local function touch(fields, idle, left, app, token, now)
  if idle == 0 then
    return
  end
  redis.call('ZADD', KEYS[1], now, token .. ':' .. fields[1])
  redis.call('ZADD', KEYS[2], now, fields[1])
  redis.call('ZADD', KEYS[3], now + left, app .. ':' .. token .. ':' .. fields[1])
  if idle > 1 then
    redis.call('HSET', KEYS[4], 'la', now)
    if fields[8] == '1' then
      redis.call('HSET', KEYS[4], 'ttl', left)
    end
    cast_net(KEYS[4], left)
  end
end

