-- Acknowledges what a user's log retains up to a seq, a bounded number of entries.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 epoch; 7 up to this seq; 8 after this seq
-- Reply: ..., -1 for another epoch or a seq beyond the head. Otherwise how many entries it acknowledged, the last seq it
-- visited, then the latencies in ms.

local MAX_ACKED = 1000

local epoch, seq = head and head.epoch or unborn(), head and head.seq or 0
if ARGV[6] ~= epoch or tonumber(ARGV[7]) > seq then return reply(false, -1, 0) end
if not head then return reply(false, 0, 0) end
purge()
local seqs = call('ZRANGEBYSCORE', ORDER, '(' .. ARGV[8], ARGV[7], 'LIMIT', 0, MAX_ACKED)
local count, latencies = 0, {}
for _, seq in ipairs(seqs) do
  local entry = note(seq)
  if entry[IS_ACKED] == 0 then
    count = count + 1
    local _, latency = acknowledge(seq, entry)
    if latency >= 0 then latencies[#latencies + 1] = latency end
  end
end
return reply(#seqs == MAX_ACKED, count, tonumber(seqs[#seqs] or 0), unpack(latencies))
