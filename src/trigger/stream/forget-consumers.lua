-- Deletes the consumers of a group that have no pending entries and have not asked for entries for a while. In one
-- step: a consumer that reads an entry at this moment must not be deleted, since its pending entries would be lost.
--
-- KEYS: 1 STREAM
-- ARGV: 1 group; 2 idle time, ms
-- Reply: number of deleted consumers

local deleted = 0
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for n = 1, #fields, 2 do consumer[fields[n]] = fields[n + 1] end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    deleted = deleted + 1
  end
end
return deleted
