-- Shows that Redis answers, takes writes, and is still in the same life.
--
-- KEYS: 1 STRING the anchor, a blank, the name
-- ARGV: 1 the name
-- Reply: now in ms since 1970, 1 when the life is the same

local t = redis.call('TIME')
local life = redis.call('GET', KEYS[1]) or ''
local same = string.match(life, ' (%S+)$') == ARGV[1]
if same then redis.call('SET', KEYS[1], life) end
return { t[1] * 1000 + math.floor(t[2] / 1000), same and 1 or 0 }
