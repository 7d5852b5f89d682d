-- Acknowledges single notifications.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 and following: ids
-- Reply: ..., epoch, then for each id: seq, 1 when late, latency in ms or -1. The seq is 0 for an id not in this user's
-- log.

if not head then return reply(false, '') end
purge()
local answers = {}
for n = 6, #ARGV do
  local seq = call('HGET', NOTES, 'i' .. ARGV[n])
  local entry = seq and note(seq)
  local late, latency = 0, -1
  if entry then late, latency = acknowledge(seq, entry) end
  answers[#answers + 1] = entry and tonumber(seq) or 0
  answers[#answers + 1] = late
  answers[#answers + 1] = latency
end
return reply(false, head.epoch, unpack(answers))
