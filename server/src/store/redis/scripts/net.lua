-- The expiration of a session's hash is a net for the case that nothing sweeps: twice the session's life and a week. The life
-- itself ends by `la` and `ttl`, because the original slides it without renewing this expiration.
local function cast_net(key, left)
  if left < 3000000000 then
    redis.call('EXPIRE', key, 2 * left + 604800)
  end
end

