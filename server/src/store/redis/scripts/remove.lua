-- Removes one session from all keys, and its user from the app's users if it was the user's last session.
-- KEYS: the app's sessions, the app's users, the expirations of all apps.
-- In Redis Cluster a script fails at a key that was moved to another node. The keys that are not in KEYS are read before
-- anything is written, and no key is read after it may have been emptied, so that a failure leaves the session whole.
local function remove(prefix, of_app, ended, id)
  local tokens = prefix .. 'us:' .. id
  local others = redis.call('SCARD', tokens) - redis.call('SISMEMBER', tokens, ended)
  local removed = redis.call('DEL', prefix .. ended)
  redis.call('SREM', tokens, ended)
  redis.call('ZREM', KEYS[1], ended .. ':' .. id)
  redis.call('ZREM', KEYS[3], of_app .. ':' .. ended .. ':' .. id)
  if others == 0 then
    redis.call('ZREM', KEYS[2], id)
  end
  return removed
end

