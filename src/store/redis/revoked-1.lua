-- Before which moment tokens of a user must not have been made.
--
-- KEYS: 1 HASH before, until
-- ARGV: 1 now in ms since 1970, empty: by the clock of Redis
-- Reply: the moment, or nil

local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local before, ends = unpack(redis.call('HMGET', KEYS[1], 'before', 'until'))
if ends and now <= tonumber(ends) then return before end
return false
