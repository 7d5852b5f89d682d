-- Notes what has become of entries: handed to a socket, received.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6, 7 epoch and seq of the place up to which some device has received, or empty; 8 '1': this may have been noted before;
--   then for each entry handed over epoch, seq, when in ms
-- Reply: ...

if not find(false) then return reply(false) end

local received = tonumber(ARGV[7])
if ARGV[6] == head.epoch and received <= head.seq and received > head.received then
  call('HSET', HEAD, 'received', received)
end

for n = 9, #ARGV, 3 do
  local seq = ARGV[n + 1]
  if ARGV[n] == head.epoch and isRetained(seq) then
    local entry = note(seq)
    if ARGV[8] ~= '1' or entry.attempts == 0 then
      deliver(entry, tonumber(ARGV[n + 2]))
      write(seq, entry)
    end
  end
end
return reply(false)
