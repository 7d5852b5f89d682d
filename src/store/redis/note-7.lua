-- Notes that entries were handed to a socket or received.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 '1' when this may have been noted before; 7 number of receipts; for each receipt epoch and seq of a cursor up to
-- which some device has received; then for each entry handed over epoch, seq, time in ms, 1 when another node may
-- have noted this delivery
-- Reply: ..., 1 when more receipts must be noted

local MAX_RECEIVED = 1000

if not head then return reply(false, 0) end

local entries = 8 + 2 * ARGV[7]
local furthest = head.received
for n = 8, entries - 1, 2 do
  local seq = tonumber(ARGV[n + 1])
  -- A cursor beyond the head proves no receipt.
  if ARGV[n] == head.epoch and seq <= head.seq and seq > furthest then furthest = seq end
end
local seqs = {}
if furthest > head.received then
  seqs = call('ZRANGEBYSCORE', ORDER, '(' .. whole(head.received), whole(furthest), 'LIMIT', 0, MAX_RECEIVED)
  head.received = #seqs == MAX_RECEIVED and tonumber(seqs[#seqs]) or furthest
  changed, renamed = true, true
end

-- Writes each entry once, even if it was both handed over and received.
local noted = {}
for n = entries, #ARGV, 4 do
  local seq = ARGV[n + 1]
  if ARGV[n] == head.epoch and isRetained(seq) then
    local entry = noted[seq] or note(seq)
    if (ARGV[6] ~= '1' and ARGV[n + 3] ~= '1') or entry[ATTEMPTS] == 0 then
      deliver(entry, tonumber(ARGV[n + 2]))
      noted[seq] = entry
    end
  end
end
for _, seq in ipairs(seqs) do
  local entry = noted[seq] or note(seq)
  if entry[STATE] == QUEUED or entry[STATE] == SENT then
    entry[STATE], entry[AT] = RECEIVED, now
    noted[seq] = entry
  end
end
for seq, entry in pairs(noted) do write(seq, entry) end
return reply(false, #seqs == MAX_RECEIVED and 1 or 0)
