-- Counts what a user's log retains.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 after this seq
-- Reply: ..., the number

if not head then return reply(false, 0) end
local more = purge()
return reply(more, call('ZCOUNT', ORDER, '(' .. ARGV[6], '+inf'))
