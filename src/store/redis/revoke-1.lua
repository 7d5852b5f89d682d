-- Revokes tokens of a user. When two revocations overlap, the later times apply.
--
-- KEYS: 1 HASH before, until
-- ARGV: 1 now in ms since 1970, or empty for the clock of Redis; 2 before; 3 until

local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local before, ends = unpack(redis.call('HMGET', KEYS[1], 'before', 'until'))
local holds = ends and now <= tonumber(ends)
local newBefore, newEnds = ARGV[2], ARGV[3]
if holds and tonumber(before) > tonumber(newBefore) then newBefore = before end
if holds and tonumber(ends) > tonumber(newEnds) then newEnds = ends end
redis.call('HSET', KEYS[1], 'before', newBefore, 'until', newEnds)
redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil(newEnds - now) + 1))
return 0
