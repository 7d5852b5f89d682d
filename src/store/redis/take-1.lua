-- Takes users out of the index whose logs have something to let go of: nobody else gets them.
--
-- KEYS: 1 ZSET of users by when there is something to do
-- ARGV: 1 now in ms since 1970, empty: by the clock of Redis; 2 most of them
-- Reply: the users

local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local owners = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, ARGV[2])
if #owners > 0 then redis.call('ZREM', KEYS[1], unpack(owners)) end
return owners
