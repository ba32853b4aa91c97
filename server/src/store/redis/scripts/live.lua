-- KEYS: the app's sessions, the app's users, the expirations of all apps, the session.
-- A session's fields, its idle seconds and its remaining seconds; nil if it is missing or expired. Two racing calls of
-- the original can leave a session without some of its fields: it counts as missing.
local function live(now)
  local fields = redis.call('HMGET', KEYS[4], 'id', 'r', 'w', 'ttl', 'd', 'la', 'ip', 'no_resave')
  local ttl, last = tonumber(fields[4]), tonumber(fields[6])
  if not fields[1] or not fields[7] or not ttl or not last or now - last > ttl then
    return nil
  end
  local idle = now - last
  return fields, idle, fields[8] == '1' and ttl - idle or ttl
end

