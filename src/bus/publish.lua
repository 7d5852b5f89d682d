-- Publishes messages in order. ARGV: channel, message, channel, message …
-- Replies with the number of exact subscribers for each, or with the text of an error.
local counts = {}
for n = 1, #ARGV, 2 do
  local published = redis.pcall('PUBLISH', ARGV[n], ARGV[n + 1])
  if type(published) == 'table' then
    counts[#counts + 1] = published.err
  else
    -- PUBLISH also counts pattern subscribers, which are not nodes.
    counts[#counts + 1] = redis.call('PUBSUB', 'NUMSUB', ARGV[n])[2]
  end
end
return counts
