-- Stores the answer to a request for later repeats.
--
-- KEYS: 1 HASH as in reserve-1.lua
-- ARGV: 1 the id under which the key was reserved; 2 the answer

local id, answer = unpack(redis.call('HMGET', KEYS[1], 'id', 'answer'))
if id == ARGV[1] and not answer then redis.call('HSET', KEYS[1], 'answer', ARGV[2]) end
return 0
