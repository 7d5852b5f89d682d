-- Makes room for the parts of a log where keys of another kind stand.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ...

dropForeign()
find(false)
return reply(false)
