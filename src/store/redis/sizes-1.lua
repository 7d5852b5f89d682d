-- Writes the sizes of users' logs, and the sums: of all logs and of each tenant.
--
-- KEYS: 1 HASH <user's topic>: entries, a blank, bytes; `total`: entries of all logs; `users`: users with entries;
-- `bytes`: bytes of all logs; tenant:<tenant>: bytes of its logs
-- ARGV: 1 number of tenants to report; then the tenants; then for each user, at most 1,000, once: the topic, entries, bytes
-- Reply: entries, users, bytes, then the bytes of each tenant to report

local key, asked = KEYS[1], tonumber(ARGV[1])
local call = redis.call
-- An earlier version counted no users: every field except one was a user.
if call('HEXISTS', key, 'users') == 0 then
  call('HSET', key, 'users', math.max(0, call('HLEN', key) - call('HEXISTS', key, 'total')))
end
local users = {}
for n = asked + 2, #ARGV, 3 do users[#users + 1] = ARGV[n] end
local known = #users > 0 and call('HMGET', key, unpack(users)) or {}
-- One write per field, however many users a call has.
local written, removed, added = {}, {}, {}
local function add(field, by)
  if by ~= 0 then added[field] = (added[field] or 0) + by end
end
for i, user in ipairs(users) do
  local n = asked + 3 * i
  local entries, bytes = tonumber(ARGV[n]), tonumber(ARGV[n + 1])
  local entriesBefore, bytesBefore = string.match(known[i] or '0 0', '^(%d+) ?(%d*)$')
  entriesBefore, bytesBefore = tonumber(entriesBefore) or 0, tonumber(bytesBefore) or 0
  if bytes == 0 then
    removed[#removed + 1] = user
  elseif entries ~= entriesBefore or bytes ~= bytesBefore then
    written[#written + 1] = user
    written[#written + 1] = ARGV[n] .. ' ' .. ARGV[n + 1]
  end
  add('total', entries - entriesBefore)
  add('users', (entries > 0 and 1 or 0) - (entriesBefore > 0 and 1 or 0))
  add('bytes', bytes - bytesBefore)
  add('tenant:' .. string.match(user, '^user:([^:]*):'), bytes - bytesBefore)
end
if #written > 0 then call('HSET', key, unpack(written)) end
if #removed > 0 then call('HDEL', key, unpack(removed)) end
for field, by in pairs(added) do
  if call('HINCRBY', key, field, by) <= 0 and string.sub(field, 1, 7) == 'tenant:' then call('HDEL', key, field) end
end
local sums = call('HMGET', key, 'total', 'users', 'bytes')
for n = 1, 3 do sums[n] = math.max(0, tonumber(sums[n] or 0)) end
for n = 1, asked do sums[3 + n] = tonumber(call('HGET', key, 'tenant:' .. ARGV[1 + n]) or 0) end
return sums
