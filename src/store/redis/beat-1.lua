-- Checks that Redis answers, accepts writes, and is still in the same life.
--
-- KEYS: 1 STRING the anchor, a blank, the name
-- ARGV: 1 the name; 2 the anchor when this Redis may have evicted the key, else empty. An evicted key ends no life: each
-- log shows what else was evicted, and a log evicted as a whole returns under a new epoch.
-- Reply: now in ms since 1970, 1 when the life is the same

local t = redis.call('TIME')
local life = redis.call('GET', KEYS[1])
if not life and ARGV[2] ~= '' then life = ARGV[2] .. ' ' .. ARGV[1] end
local same = life and string.match(life, ' (%S+)$') == ARGV[1]
if same then redis.call('SET', KEYS[1], life) end
return { t[1] * 1000 + math.floor(t[2] / 1000), same and 1 or 0 }
