-- Counts one more delivery of an entry that waits for its acknowledgement, or ends it.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 epoch; 7 seq; 8 maximum number of deliveries
-- Reply: ..., then one of: 0 when there is nothing to deliver; 1, redelivered, body, traceparent or empty; 2 when it was
-- given up

if not head or ARGV[6] ~= head.epoch then return reply(false, 0) end
purge()
local seq = ARGV[7]
local entry = isRetained(seq) and note(seq)
if not entry or not isPending(entry) then return reply(false, 0) end
if entry[ATTEMPTS] >= tonumber(ARGV[8]) then
  entry[STATE], entry[AT] = EXPIRED, now
  write(seq, entry)
  return reply(false, 2)
end
deliver(entry, now)
entry[REDELIVERED] = entry[REDELIVERED] + 1
write(seq, entry)
local text = call('HMGET', TEXT, seq, 't' .. seq)
return reply(false, 1, entry[REDELIVERED], text[1], text[2] or '')
