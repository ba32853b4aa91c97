-- Ends one session. KEYS: as in remove.lua. ARGV: key prefix, app, token, now.
local prefix, app, token, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local fields = redis.call('HMGET', prefix .. token, 'id', 'ttl', 'la')
local ttl, last = tonumber(fields[2]), tonumber(fields[3])
if not fields[1] or not ttl or not last or now - last > ttl then
  return 0
end
return remove(prefix, app, token, fields[1])
