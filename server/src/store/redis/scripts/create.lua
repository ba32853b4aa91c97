-- Creates a session. Running it twice is the same as once, since the token is new.
-- KEYS: as in live.lua, then the user's tokens. ARGV: app, token, time or '', id, ip, ttl, `d` or ''.
local app, token, now, id, ip, ttl = ARGV[1], ARGV[2], seconds(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
redis.call('SADD', KEYS[5], token)
redis.call('ZADD', KEYS[1], now, token .. ':' .. id)
redis.call('ZADD', KEYS[2], now, id)
redis.call('ZADD', KEYS[3], now + ttl, app .. ':' .. token .. ':' .. id)
redis.call('HSET', KEYS[4], 'id', id, 'r', 1, 'w', 1, 'ip', ip, 'la', now, 'ttl', ARGV[6])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[4], 'd', ARGV[7])
end
cast_net(ttl)
return 1
