-- Reads a page of a user's log, oldest first.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 after this seq; 7 maximum number of entries; 8 maximum bytes of bodies, though at least one entry; 9 '1' to
-- leave out acknowledged entries; 10 '1' to include states
-- Reply: ..., epoch, through, removed, 1 when more follows, then for each entry: seq, body (see `text` in log.lua),
-- traceparent or empty, state

local SCANNED_AT_ONCE, MAX_SCANNED = 50, 2000
-- Limit of Lua on the values of one reply.
local MAX_ENTRIES = 1500
local MAX_REFERENCE = 100
local at, most, room = tonumber(ARGV[6]), math.min(tonumber(ARGV[7]), MAX_ENTRIES), tonumber(ARGV[8])
local unsettled, withState = ARGV[9] == '1', ARGV[10] == '1'

if not head then return reply(false, unborn(), 0, 0, 0) end
if purge() then return reply(true, head.epoch, 0, 0, 0) end

local page = {}
local function answer(through, follows)
  return reply(false, head.epoch, through, head.removed, follows and 1 or 0, unpack(page))
end

local last
for _ = 1, MAX_SCANNED / SCANNED_AT_ONCE do
  local seqs = call('ZRANGEBYSCORE', ORDER, '(' .. whole(at), '+inf', 'LIMIT', 0, SCANNED_AT_ONCE)
  for _, seq in ipairs(seqs) do
    local entry = (unsettled or withState) and note(seq)
    if not (unsettled and entry[IS_ACKED] == 1) then
      local text = call('HMGET', TEXT, seq, 't' .. seq)
      local bytes = #text[1]
      -- A reference is short and contains the size of the body.
      if bytes < MAX_REFERENCE then bytes = tonumber(string.match(text[1], '^%z(%d+) ')) or bytes end
      room = room - bytes
      if last and (#page >= most * 4 or room < 0) then return answer(last, true) end
      last = tonumber(seq)
      page[#page + 1] = last
      page[#page + 1] = text[1]
      page[#page + 1] = text[2] or ''
      page[#page + 1] = withState and entry[STATE] or 0
    end
    at = tonumber(seq)
  end
  if #seqs < SCANNED_AT_ONCE then return answer(head.seq, false) end
end
return answer(at, true)
