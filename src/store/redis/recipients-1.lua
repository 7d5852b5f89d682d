-- Returns the recipients of a notification, in the order of the send.
--
-- KEYS: 1 ZSET of users, scored by their index in the send
-- ARGV: 1 after this user, or empty; 2 maximum number of users
-- Reply: the first recipient of all, then the page; empty when the notification is unknown

local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if not first then return {} end
local from = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZRANK', KEYS[1], ARGV[1])
  if not rank then return { first } end
  from = rank + 1
end
return { first, unpack(redis.call('ZRANGE', KEYS[1], from, from + tonumber(ARGV[2]) - 1)) }
