-- Ends a reservation without an answer.
--
-- KEYS: 1 HASH as in reserve-1.lua
-- ARGV: 1 the id under which the key was reserved; 2 free: the key becomes unused; retry: the same request may retry at
-- once

local id, answer = unpack(redis.call('HMGET', KEYS[1], 'id', 'answer'))
if id ~= ARGV[1] or answer then return 0 end
if ARGV[2] == 'free' then redis.call('DEL', KEYS[1]) else redis.call('HSET', KEYS[1], 'until', 0) end
return 0
