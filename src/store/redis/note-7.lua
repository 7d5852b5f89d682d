-- Notes what has become of entries: handed to a socket, received.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 '1': this may have been noted before; 7 how many receipts; for each of them epoch and seq of the place up to which
--   some device has received; then for each entry handed over epoch, seq, when in ms
-- Reply: ...

if not find(false) then return reply(false) end

local entries = 8 + 2 * ARGV[7]
local furthest = head.received
for n = 8, entries - 1, 2 do
  local seq = tonumber(ARGV[n + 1])
  -- A place beyond the head is no proof of having read anything.
  if ARGV[n] == head.epoch and seq <= head.seq and seq > furthest then furthest = seq end
end
if furthest > head.received then call('HSET', HEAD, 'received', furthest) end

for n = entries, #ARGV, 3 do
  local seq = ARGV[n + 1]
  if ARGV[n] == head.epoch and isRetained(seq) then
    local entry = note(seq)
    if ARGV[6] ~= '1' or entry[ATTEMPTS] == 0 then
      deliver(entry, tonumber(ARGV[n + 2]))
      write(seq, entry)
    end
  end
end
return reply(false)
