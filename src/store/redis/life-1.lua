-- Names the current life of this Redis. The name stays the same while the anchor stays the same.
--
-- KEYS: 1 STRING the anchor, a blank, the name
-- ARGV: 1 the anchor: it changes when the data may have been replaced; 2 a name that no life has had
-- Reply: the name, now in ms since 1970

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local anchor, name = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+)$')
if anchor ~= ARGV[1] then
  name = ARGV[2]
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. name)
end
return { name, now }
