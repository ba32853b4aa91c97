-- Creates a session. Running it twice is the same as once, since the token is new.
-- KEYS: as in live.lua, then the user's tokens. ARGV: app, token, time or '', id, ip, ttl, `d` or ''.
add(KEYS[4], KEYS[5], ARGV[1], ARGV[2], seconds(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return 1
