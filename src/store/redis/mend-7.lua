-- Puts a log together again of which a part is a key of another kind, or cannot be read. Stands before find.lua.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ...

force = call('EXISTS', unpack(KEYS)) > 0
