-- Asks for a lease, or renews it.
--
-- KEYS: 1 HASH holder, since and until (ms since 1970 by the clock of Redis; until 0: released)
-- ARGV: 1 name of the asking node; 2 how long a lease lasts, ms
-- Reply: 1 kept: it held the lease last; taken: another node held it last; released: another node gave it up; first: no
-- holder is known; held: another node holds it; 2 time left to that node, ms; 3 since when this node holds it

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lasts = tonumber(ARGV[2])
local holder, ends, since = unpack(redis.call('HMGET', KEYS[1], 'holder', 'until', 'since'))
local left = (tonumber(ends) or 0) - now
-- A clock that was set back must not make the lease last.
if holder and holder ~= ARGV[1] and left > 0 and left <= lasts then return { 'held', left, '' } end

local type = not holder and 'first' or holder == ARGV[1] and 'kept' or ends == '0' and 'released' or 'taken'
if type ~= 'kept' then since = tostring(now) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'since', since, 'until', now + lasts)
redis.call('PEXPIRE', KEYS[1], 86400000)
return { type, 0, since }
