-- Puts a log together again of which a part is a key of another kind, or cannot be read.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ...

dropForeign()
if find(false) and not mended then mend() end
return reply(false)
