-- Mends a log with a key of another type or an unreadable entry. Runs before find.lua.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ...

force = call('EXISTS', unpack(KEYS)) > 0
