-- Reads sessions without a use: for each of KEYS its fields, or a text if the key has another type.
local result = {}
for i, key in ipairs(KEYS) do
  local fields = redis.pcall('HMGET', key, 'id', 'r', 'w', 'ttl', 'd', 'la', 'ip', 'no_resave')
  result[i] = fields.err or fields
end
return result
