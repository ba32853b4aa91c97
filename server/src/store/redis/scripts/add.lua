-- Adds a new session to all keys, its hash last: what fails before leaves no session. `ttl` is a text or a number, `d` a
-- text or ''.
-- KEYS: the app's sessions, the app's users, the expirations of all apps.
local function add(hash, tokens, app, token, now, id, ip, ttl, d)
  redis.call('SADD', tokens, token)
  redis.call('ZADD', KEYS[1], now, token .. ':' .. id)
  redis.call('ZADD', KEYS[2], now, id)
  redis.call('ZADD', KEYS[3], now + tonumber(ttl), app .. ':' .. token .. ':' .. id)
  redis.call('HSET', hash, 'id', id, 'r', 1, 'w', 1, 'ip', ip, 'la', now, 'ttl', ttl)
  if d ~= '' then
    redis.call('HSET', hash, 'd', d)
  end
  cast_net(hash, tonumber(ttl))
end

