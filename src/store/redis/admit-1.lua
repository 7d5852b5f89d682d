-- Counts a user as one with a revocation in force, within the tenant's bound.
--
-- KEYS: 1 ZSET of users, scored by when their revocation ends
-- ARGV: 1 now in ms since 1970, or empty for the clock of Redis; 2 user; 3 end of the revocation; 4 maximum number of
-- users
-- Reply: 1, or 0 when there are too many

local key, user, ends = KEYS[1], ARGV[2], tonumber(ARGV[3])
local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. string.format('%.0f', now))
if not redis.call('ZSCORE', key, user) and redis.call('ZCARD', key) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', key, 'GT', ends, user)
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIRE', key, math.max(1, math.ceil(last - now) + 1))
return 1
