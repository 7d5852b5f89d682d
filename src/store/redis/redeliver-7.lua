-- Counts one more delivery of an entry that waits for its acknowledgement, or ends it.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 epoch; 7 seq; 8 maximum number of deliveries; 9 time to acknowledge, ms, or empty to deliver in any case
-- Reply: ..., then one of: 0 when there is nothing to deliver; 1, redelivered, body, traceparent or empty; 2 when it was
-- given up; 3, ms until the time to acknowledge has passed since another node delivered it

if not head or ARGV[6] ~= head.epoch then return reply(false, 0) end
purge()
local seq = ARGV[7]
local entry = isRetained(seq) and note(seq)
if not entry or not isPending(entry) then return reply(false, 0) end
local timeout = tonumber(ARGV[9])
if timeout then
  local left = (entry[LAST] or entry[FIRST]) + timeout - now
  -- Clocks of nodes differ a little.
  if left > math.min(200, timeout / 8) then return reply(false, 3, left) end
end
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
