-- What the scripts of a user's log begin with; the rest of each stands in its own file.
--
-- KEYS, all of one user and with one hash tag:
--   1 head   HASH  epoch, life, bases, seq, received, removed, touched
--   2 text   HASH  <seq>: the body; t<seq>: the traceparent, if there is one
--   3 notes  HASH  <seq>: what is known of the entry, packed; i<id>: the seq of a notification
--   4 order  ZSET  what is retained, by seq
--   5 ends   ZSET  what is retained, by the moment until which it is delivered
--   6 lanes  ZSET  what is retained, by who overflow takes first
--   7 past   ZSET  what has left, by the moment until which it stays known
-- ARGV:
--   1 now in ms since 1970; empty: by the clock of Redis
--   2 the name of the life of this Redis
--   3 an epoch that no log has had
--   4 age at which an entry ends, ms
--   5 '1': entries are settled by acknowledgement; else by having been received
-- Every reply begins with: entries retained now (-1: as before), what has left the log (a digit each, see `leave`), how
-- many wait for acknowledgement since now, whether there is more to do before an answer can be given.

local HEAD, TEXT, NOTES, ORDER, ENDS, LANES, PAST = unpack(KEYS)
local QUEUED, SENT, ACKED, EXPIRED, DROPPED = 0, 1, 2, 3, 4
local CRITICAL = 3
-- Lane 0 holds what is acknowledged, below Critical; lane n + 1 priority n. Within one the oldest is first.
local LANE = 1e15
local MAX_BASES = 8
local MAX_PURGED = 200
-- Of one log; beyond, what left first is forgotten before its time.
local MAX_PAST = 100000
local DAY = 86400000
-- Counted from a moment of the last day before the last append, so that it is 30 days at least.
local KEPT = 32 * DAY

local call = redis.call
local retention = tonumber(ARGV[4])
local acknowledged = ARGV[5] == '1'

local function time()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local now = tonumber(ARGV[1]) or time()
local head
local tracked = 0
local gone = {}
-- Entries retained, once that was asked for; whether it has changed.
local size
local resized = false

local function save()
  call('HSET', HEAD, 'epoch', head.epoch, 'life', head.life, 'bases', head.bases, 'seq', head.seq, 'received',
    head.received, 'removed', head.removed, 'touched', head.touched)
end

-- Finds the log as it is in this life: one of an earlier life goes on under another epoch, and keeps what it held when that
-- life ended. False when there is none and none is to be made.
local function find(make)
  local found = call('HMGET', HEAD, 'epoch', 'life', 'bases', 'seq', 'received', 'removed', 'touched')
  if not found[1] then
    if not make then return false end
    head = { epoch = ARGV[3], life = ARGV[2], bases = '', seq = 0, received = 0, removed = 0, touched = now }
    save()
    call('PEXPIRE', HEAD, KEPT)
    return true
  end
  head = {
    epoch = found[1], life = found[2], bases = found[3], seq = tonumber(found[4]), received = tonumber(found[5]),
    removed = tonumber(found[6]), touched = tonumber(found[7])
  }
  if head.life == ARGV[2] then return true end
  local bases = {}
  for base in string.gmatch(head.bases, '[^,]+') do bases[#bases + 1] = base end
  bases[#bases + 1] = head.epoch .. ':' .. string.format('%.0f', head.seq)
  while #bases > MAX_BASES do table.remove(bases, 1) end
  head.bases, head.epoch, head.life = table.concat(bases, ','), ARGV[3], ARGV[2]
  save()
  return true
end

-- An entry is a list.
local ID, RANK, OCCURRED, EXPIRES, AGES, AT, STATE, ATTEMPTS, REDELIVERED, FIRST, IS_ACKED, TYPE =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

local function note(seq)
  local packed = call('HGET', NOTES, seq)
  return packed and cmsgpack.unpack(packed)
end

local function write(seq, entry)
  call('HSET', NOTES, seq, cmsgpack.pack(entry))
end

local function count()
  size = size or call('ZCARD', ORDER)
  return size
end

local function forget(seq)
  local entry = note(seq)
  -- The id may have been used again.
  if entry and call('HGET', NOTES, 'i' .. entry[ID]) == seq then call('HDEL', NOTES, 'i' .. entry[ID]) end
  call('HDEL', NOTES, seq)
  call('ZREM', PAST, seq)
end

-- `cause`: ttl, age or overflow. What is told of it: 4 when overflow dropped it, 2 when it was neither received nor
-- acknowledged, 1 when its acknowledgement was waited for.
local function leave(seq, entry, cause)
  size = count() - 1
  resized = true
  -- First what needs no memory: a Redis that is full still lets entries go.
  call('ZREM', ORDER, seq)
  call('ZREM', ENDS, seq)
  call('ZREM', LANES, seq)
  call('HDEL', TEXT, seq, 't' .. seq)
  local n = tonumber(seq)
  if cause ~= 'ttl' and n > head.removed then
    head.removed = n
    call('HSET', HEAD, 'removed', n)
  end
  local pending = acknowledged and entry[STATE] == SENT
  local settled = n <= head.received
  if acknowledged then settled = entry[IS_ACKED] == 1 end
  local told = (pending and 1 or 0) + (settled and 0 or 2)
  if cause == 'overflow' then
    told = told + 4
    if entry[STATE] == QUEUED or pending then entry[STATE], entry[AT] = DROPPED, now end
  elseif entry[IS_ACKED] == 0 then
    entry[STATE], entry[AT] = EXPIRED, now
  end
  write(seq, entry)
  call('ZADD', PAST, entry[OCCURRED] + retention, seq)
  local past = call('ZCARD', PAST)
  if past == 1 then call('PEXPIRE', PAST, KEPT) end
  if past > MAX_PAST then forget(call('ZRANGE', PAST, 0, 0)[1]) end
  gone[#gone + 1] = told
end

-- What would reach its ttl and its age in the same moment ends by its ttl.
local function endIt(seq)
  local entry = note(seq)
  leave(seq, entry, entry[EXPIRES] >= 0 and entry[EXPIRES] <= entry[AGES] and 'ttl' or 'age')
end

-- Lets go of what has ended, a bounded number; whether there may be more.
local function purge()
  local over = call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, MAX_PURGED)
  for _, seq in ipairs(over) do endIt(seq) end
  return #over == MAX_PURGED
end

local function deliver(entry, at)
  entry[ATTEMPTS] = entry[ATTEMPTS] + 1
  if entry[ATTEMPTS] > 1 then return end
  entry[FIRST] = at
  if entry[STATE] == QUEUED then entry[STATE], entry[AT] = SENT, at end
  if acknowledged then tracked = tracked + 1 end
end

local function isRetained(seq)
  return call('ZSCORE', ORDER, seq) ~= false
end

-- Acknowledges an entry, retained or not: whether that is late, and after how many ms; -1 when it was done before, or late.
local function acknowledge(seq, entry)
  local late = (entry[STATE] == EXPIRED or entry[STATE] == DROPPED) and 1 or 0
  if entry[IS_ACKED] == 1 then return late, -1 end
  entry[IS_ACKED] = 1
  local latency = -1
  if late == 0 then
    -- It proves a delivery that is not yet noted.
    if entry[ATTEMPTS] == 0 then deliver(entry, now) end
    entry[STATE], entry[AT] = ACKED, now
    latency = math.max(0, now - entry[FIRST])
  end
  write(seq, entry)
  if entry[RANK] < CRITICAL and isRetained(seq) then call('ZADD', LANES, 'XX', tonumber(seq), seq) end
  return late, latency
end

local function reply(more, ...)
  return { resized and count() or -1, table.concat(gone), tracked, more and 1 or 0, ... }
end
