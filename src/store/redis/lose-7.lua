-- Drops entries whose shared body was evicted or removed.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 and following: seqs
-- Reply: ...

if not head then return reply(false) end
local lost = 0
for n = 6, #ARGV do
  local seq = ARGV[n]
  if call('ZSCORE', ORDER, seq) then
    leave(seq, note(seq), 'overflow')
    lost = lost + 1
  end
end
if lost > 0 then renew() end
return reply(false)
