-- Notes how many entries users' logs retain, and the sum of all.
--
-- KEYS: 1 HASH <user>: the number, `total`: the sum
-- ARGV: for each user the user, the number
-- Reply: the sum, the number of users with any

local key = KEYS[1]
for n = 1, #ARGV, 2 do
  local before = tonumber(redis.call('HGET', key, ARGV[n]) or 0)
  local after = tonumber(ARGV[n + 1])
  if after > 0 then redis.call('HSET', key, ARGV[n], after) else redis.call('HDEL', key, ARGV[n]) end
  if after ~= before then redis.call('HINCRBY', key, 'total', after - before) end
end
local total = redis.call('HGET', key, 'total')
return { tonumber(total or 0), redis.call('HLEN', key) - (total and 1 or 0) }
