-- What a starting connection needs to know of a user's log.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ..., epoch, seq, received, removed, bases as epoch:seq,epoch:seq

find(true)
local more = purge()
return reply(more, head.epoch, head.seq, head.received, head.removed, head.bases)
