-- Notes the answer to a request, for whoever repeats it.
--
-- KEYS: 1 HASH as in reserve-1.lua
-- ARGV: 1 the id it was reserved under; 2 the answer

local id, answer = unpack(redis.call('HMGET', KEYS[1], 'id', 'answer'))
if id == ARGV[1] and not answer then redis.call('HSET', KEYS[1], 'answer', ARGV[2]) end
return 0
