-- Stands before append-7.lua: the step that appends an entry also publishes it to the nodes with connections of its user.
--
-- ARGV: 20 channel of the user; 21 head of the message; 22 ms since the send was accepted, and when, by the clock of this node
-- Reply: as append-7.lua, then the number of nodes. Pattern subscribers of other programs do not count.

local replyAlone = reply
local function reply(more, epoch, seq, repeated)
  local answer = replyAlone(more, epoch, seq, repeated)
  local channel = ARGV[20]
  local nodes = call('PUBSUB', 'NUMSUB', channel)[2]
  if nodes > 0 then
    local place = table.concat({ epoch, seq, repeated, ARGV[22] }, ' ')
    call('PUBLISH', channel, table.concat({ ARGV[21], place, ARGV[9] }, '\n'))
  end
  answer[#answer + 1] = nodes
  return answer
end
