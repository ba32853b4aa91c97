-- A session's fields, how long it was idle and how many seconds it has left; nil where there is none or it is over.
-- Half a session, as two racing calls of the original may leave behind, is none.
local function live(now)
  local fields = redis.call('HMGET', KEYS[1], 'id', 'r', 'w', 'ttl', 'd', 'la', 'ip', 'no_resave')
  local ttl, last = tonumber(fields[4]), tonumber(fields[6])
  if not fields[1] or not fields[7] or not ttl or not last or now - last > ttl then
    return nil
  end
  local idle = now - last
  return fields, idle, fields[8] == '1' and ttl - idle or ttl
end

-- Notes a use. The time to live of a session that does not slide is written together with the activity that it
-- counts from, and never alone: the two have to add up to the same end.
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

