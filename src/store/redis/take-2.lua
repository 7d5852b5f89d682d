-- Leases users whose logs have something to remove. Until the lease ends, no other node gets them.
--
-- KEYS: 1 ZSET of users, scored by when their log has something to remove; 2 ZSET of leased users, scored by when their
-- lease ends
-- ARGV: 1 now in ms since 1970, or empty for the clock of Redis; 2 maximum number of users; 3 how long a lease lasts, ms
-- Reply: the users

local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local most = tonumber(ARGV[2])
local before = '(' .. string.format('%.0f', now)
local ends = now + ARGV[3]

-- Users with an expired lease come first: their node died or failed.
local users = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', before, 'LIMIT', 0, math.floor(most / 2))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before, 'LIMIT', 0, most - #users)
for _, user in ipairs(due) do users[#users + 1] = user end
for _, user in ipairs(users) do
  redis.call('ZREM', KEYS[1], user)
  redis.call('ZADD', KEYS[2], ends, user)
end
return users
