-- Whom a notification was for, in the order of the send.
--
-- KEYS: 1 ZSET of users by their place in the send
-- ARGV: 1 after this user, or empty; 2 most of them
-- Reply: the first of all, then those asked for; empty when nothing is known

local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if not first then return {} end
local from = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZRANK', KEYS[1], ARGV[1])
  if not rank then return { first } end
  from = rank + 1
end
return { first, unpack(redis.call('ZRANGE', KEYS[1], from, from + tonumber(ARGV[2]) - 1)) }
