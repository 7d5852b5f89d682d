-- Writes the sizes of users' logs, and the sums: of all logs and of each tenant.
--
-- KEYS: 1 HASH <user's topic>: entries, a blank, bytes; `total`: entries of all logs; `users`: users with entries;
-- `bytes`: bytes of all logs; tenant:<tenant>: bytes of its logs
-- ARGV: 1 number of tenants to report; then the tenants; then for each user the topic, entries, bytes
-- Reply: entries, users, bytes, then the bytes of each tenant to report

local key, asked = KEYS[1], tonumber(ARGV[1])
local call = redis.call
-- An earlier version counted no users: every field except one was a user.
if call('HEXISTS', key, 'users') == 0 then
  call('HSET', key, 'users', math.max(0, call('HLEN', key) - call('HEXISTS', key, 'total')))
end
for n = asked + 2, #ARGV, 3 do
  local user, entries, bytes = ARGV[n], tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2])
  local before = call('HGET', key, user) or '0 0'
  local entriesBefore, bytesBefore = string.match(before, '^(%d+) ?(%d*)$')
  entriesBefore, bytesBefore = tonumber(entriesBefore) or 0, tonumber(bytesBefore) or 0
  if bytes == 0 then
    call('HDEL', key, user)
  elseif entries ~= entriesBefore or bytes ~= bytesBefore then
    call('HSET', key, user, ARGV[n + 1] .. ' ' .. ARGV[n + 2])
  end
  if entries ~= entriesBefore then call('HINCRBY', key, 'total', entries - entriesBefore) end
  local joined = (entries > 0 and 1 or 0) - (entriesBefore > 0 and 1 or 0)
  if joined ~= 0 then call('HINCRBY', key, 'users', joined) end
  if bytes ~= bytesBefore then
    local tenant = 'tenant:' .. string.match(user, '^user:([^:]*):')
    call('HINCRBY', key, 'bytes', bytes - bytesBefore)
    if call('HINCRBY', key, tenant, bytes - bytesBefore) <= 0 then call('HDEL', key, tenant) end
  end
end
local sums = call('HMGET', key, 'total', 'users', 'bytes')
for n = 1, 3 do sums[n] = math.max(0, tonumber(sums[n] or 0)) end
for n = 1, asked do sums[3 + n] = tonumber(call('HGET', key, 'tenant:' .. ARGV[1 + n]) or 0) end
return sums
