-- Returns the delivery state of one user's notification.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 id
-- Reply: ..., and for a known id: event type, when it occurred, end by ttl or -1, state, attempts, time of the state

if not head then return reply(false) end
purge()
local seq = call('HGET', NOTES, 'i' .. ARGV[6])
local entry = seq and note(seq)
if not entry then return reply(false) end
return reply(false, entry[TYPE], entry[OCCURRED], entry[EXPIRES], entry[STATE], entry[ATTEMPTS], entry[AT])
