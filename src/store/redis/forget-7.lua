-- Forgets a log without a trace of any entry, to make room.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ..., 1 when the log does not exist now

if head and (head.kept > 0 or head.past > 0) then return reply(false, 0) end
-- The next log restarts at seq 1. Another epoch makes cursors of this log invalid.
if head then call('SET', FORGOTTEN, ARGV[3]) end
call('DEL', unpack(KEYS))
return { 0, 0, '', 0, 0, 1 }
