-- Returns what a starting connection needs to know of a user's log. Reading creates no log.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ..., epoch, seq, received, removed, lost, bases as epoch:seq,epoch:seq

if not head then return reply(false, unborn(), 0, 0, 0, 0, '') end
local more = purge()
return reply(more, head.epoch, head.seq, head.received, head.removed, head.lost, head.bases)
