-- Removes one session from all keys, and its user from the app's users if it was the user's last session.
-- KEYS: the app's sessions, the app's users, the expirations of all apps.
local function remove(prefix, app, token, id)
  local tokens = prefix .. 'us:' .. id
  redis.call('ZREM', KEYS[1], token .. ':' .. id)
  redis.call('SREM', tokens, token)
  redis.call('ZREM', KEYS[3], app .. ':' .. token .. ':' .. id)
  local removed = redis.call('DEL', prefix .. token)
  if redis.call('EXISTS', tokens) == 0 then
    redis.call('ZREM', KEYS[2], id)
  end
  return removed
end

