-- A harmless write, with keys as a session has them: a cluster refuses them in the layout of a single server.
-- KEYS: a key of this script alone, the expirations of all apps.
redis.call('SET', KEYS[1], '1', 'EX', 60)
return redis.call('ZCARD', KEYS[2])
