-- Returns the time before which a user's tokens count as revoked.
--
-- KEYS: 1 HASH before, until
-- ARGV: 1 now in ms since 1970, or empty for the clock of Redis
-- Reply: the time, or nil

local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local before, ends = unpack(redis.call('HMGET', KEYS[1], 'before', 'until'))
if ends and now <= tonumber(ends) then return before end
return false
