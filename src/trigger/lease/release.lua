-- Gives up a lease.
--
-- KEYS: 1 HASH as in ask.lua
-- ARGV: 1 name of the holder

if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('HSET', KEYS[1], 'until', 0) end
return 0
