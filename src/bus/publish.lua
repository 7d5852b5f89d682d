-- Publishes messages in order and replies with the number of exact subscribers for each, or with the text of an error.
-- ARGV: a channel that this node alone subscribes to; the channel of each message; each message; a text with one digit
-- for each: 1 if it concerns other nodes only and this node subscribes to its channel. Such a message is published, and
-- its number is not 0, only if the channel has another subscriber.
local count = (#ARGV - 2) / 2
-- PUBLISH also counts pattern subscribers, which are not nodes.
local known = redis.call('PUBSUB', 'NUMSUB', unpack(ARGV, 1, count + 1))
local isHere = known[2] > 0
local digits = ARGV[#ARGV]
local replies = {}
for n = 1, count do
  local subscribers = known[2 * n + 2]
  if isHere and subscribers == 1 and digits:byte(n) == 49 then
    replies[n] = 0
  else
    local published = redis.pcall('PUBLISH', ARGV[n + 1], ARGV[n + count + 1])
    replies[n] = type(published) == 'table' and published.err or subscribers
  end
end
return replies
