-- Reserves an idempotency key for a request.
--
-- KEYS: 1 HASH fingerprint, id, first, until, answer
-- ARGV: 1 now in ms since 1970, or empty for the clock of Redis; 2 deadline by the clock of Redis, ms: later the script
-- reserves nothing; 3 how long a key stays in use, ms; 4 how long a reservation blocks the key, ms; 5 fingerprint; 6 id
-- Reply: reserved, in_progress (both with the id), answered (with the answer) or conflict

local t = redis.call('TIME')
local time = t[1] * 1000 + math.floor(t[2] / 1000)
if time > tonumber(ARGV[2]) then return redis.error_reply('LATE the deadline of the request has passed') end

local now = tonumber(ARGV[1]) or time
local key, ttl, reserved, fingerprint = KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local known, id, first, ends, answer =
  unpack(redis.call('HMGET', key, 'fingerprint', 'id', 'first', 'until', 'answer'))

local function begin()
  redis.call('DEL', key)
  redis.call('HSET', key, 'fingerprint', fingerprint, 'id', ARGV[6], 'first', now, 'until', now + reserved)
  redis.call('PEXPIRE', key, ttl)
  return { 'reserved', ARGV[6] }
end

if not known or now > first + ttl then return begin() end
local same = known == fingerprint
if answer then return same and { 'answered', answer } or { 'conflict' } end
if now <= tonumber(ends) then return same and { 'in_progress', id } or { 'conflict' } end
if not same then return begin() end
redis.call('HSET', key, 'until', now + reserved)
return { 'reserved', id }
