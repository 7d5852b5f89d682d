-- Finds a retained notification by its id.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 id
-- Reply: ..., and the seq when the log retains it

if not head then return reply(false) end
purge()
local seq = call('HGET', NOTES, 'i' .. ARGV[6])
if not seq or not call('ZSCORE', ORDER, seq) then return reply(false) end
return reply(false, tonumber(seq))
