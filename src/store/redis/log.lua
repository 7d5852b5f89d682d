-- Start of every script of a user's log. find.lua follows, then handling.lua for some, then the script's own file.
-- Each run pays for the values a function closes over. So rare steps stand in other files, and find.lua is no function.
--
-- KEYS, all of one user and with one hash tag:
--   1 head   HASH  epoch, life, bases, seq, received, removed, touched; counts: packed, the highest seq removed before any device
--                  had it, entries retained, entries in `past`, bytes of the bodies, the seq when this was written
--   2 text   HASH  <seq>: the body, or for a body that many users share a NUL, its size, a blank and the notification's id;
--                  t<seq>: the traceparent, if there is one
--   3 notes  HASH  <seq>: packed facts about the entry; i<id>: the seq of a notification; e: the epoch, a blank and the bases,
--                  for a lost head
--   4 order  ZSET  retained entries by seq
--   5 ends   ZSET  retained entries by the last moment of their delivery
--   6 lanes  ZSET  retained entries by the order of eviction
--   7 past   ZSET  entries that left, by the moment until which they stay known
-- ARGV:
--   1 now in ms since 1970; empty: by the clock of Redis
--   2 the name of the life of this Redis
--   3 an epoch that no log has had
--   4 age at which an entry ends, ms
--   5 flags: a: entries are settled by acknowledgement, else by a receipt; e: this Redis may evict keys
-- Every reply starts with five values: entries retained (-1: the size is unchanged), bytes of the log, one digit per entry
-- that left (see `leave`), entries that now wait for acknowledgement, 1 when the caller must ask again to get an answer.

-- Changes whenever a log is forgotten to make room.
local FORGOTTEN = 'ara:forgotten'
-- The anchor, a blank, the name of the present life.
local LIFE = 'ara:life'
local HEAD, TEXT, NOTES, ORDER, ENDS, LANES, PAST = unpack(KEYS)
-- Stored numbers: add new states at the end.
local QUEUED, SENT, ACKED, EXPIRED, DROPPED, RECEIVED = 0, 1, 2, 3, 4, 5
-- Lane 0 holds acknowledged entries, lane n + 1 holds priority n. In each lane the oldest entry comes first.
local LANE = 1e15
local MAX_BASES = 8
local MAX_PURGED = 200
-- Bound per log. Beyond it the entries that left first are forgotten early.
local MAX_PAST = 100000
local DAY = 86400000
-- Renewed once a day: a log lives at least 30 days after its last append.
local KEPT = 32 * DAY
-- Measured bytes: a head, the other keys, an entry without its body, an entry that left.
local HEAD_BYTES, PARTS_BYTES, ENTRY_BYTES, PAST_BYTES = 400, 800, 800, 280

local call = redis.call
local retention = tonumber(ARGV[4])
local acknowledged = ARGV[5] == 'a' or ARGV[5] == 'ae'
local mayEvict = ARGV[5] == 'e' or ARGV[5] == 'ae'

local function time()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local now = tonumber(ARGV[1]) or time()
-- nil without a log.
local head
-- The size at the start of the script.
local keptBefore, pastBefore, bytesBefore
-- Whether to write the head, and whether to write all its fields. The write comes last: in a full Redis the steps that
-- free memory must run first.
local changed, renamed = false, false
-- Whether entries that leave are forgotten at once when their time in `past` is over. Cheaper than two steps.
local forgetsAtOnce = false
-- Whether to mend the log even if no part is missing.
local force = false
local tracked = 0
local gone = {}

local function whole(number)
  return string.format('%.0f', number)
end

local function save()
  local counts = cmsgpack.pack({ head.lost, head.kept, head.past, head.bytes, head.seq })
  if renamed then
    call('HSET', HEAD, 'epoch', head.epoch, 'life', head.life, 'bases', head.bases, 'received', head.received, 'touched',
      head.touched)
  end
  call('HSET', HEAD, 'seq', head.seq, 'removed', head.removed, 'counts', counts)
  changed, renamed = false, false
end

-- The epoch of a log that does not exist yet: the same on every node, and new when a head may have been forgotten. Random
-- when heads can be evicted at any time.
local function unborn()
  if mayEvict then return ARGV[3] end
  local name = ARGV[2] .. ' ' .. HEAD .. ' ' .. math.floor(now / (30 * DAY)) .. (call('GET', FORGOTTEN) or '')
  return string.sub(redis.sha1hex(name), 1, 12)
end

local function writeEpoch()
  call('HSET', NOTES, 'e', head.epoch .. ' ' .. head.bases)
end

-- Gives the log a new epoch and keeps its head as a base: both epochs share everything up to it.
local function renew()
  local bases = {}
  for base in string.gmatch(head.bases, '[^,]+') do bases[#bases + 1] = base end
  if head.epoch ~= '' then bases[#bases + 1] = head.epoch .. ':' .. whole(head.seq) end
  while #bases > MAX_BASES do table.remove(bases, 1) end
  head.bases, head.epoch, head.life = table.concat(bases, ','), ARGV[3], ARGV[2]
  changed, renamed = true, true
  if head.kept > 0 or head.past > 0 then writeEpoch() end
end

local function begin(epoch, bases)
  head = {
    epoch = epoch, life = ARGV[2], bases = bases, seq = 0, received = 0, removed = 0, touched = now, lost = 0, kept = 0, past = 0,
    bytes = 0
  }
  changed, renamed = true, true
end

-- Indexes of an entry, which is a list.
-- LAST is absent until the second delivery.
local ID, RANK, OCCURRED, EXPIRES, AGES, AT, STATE, ATTEMPTS, REDELIVERED, FIRST, IS_ACKED, TYPE, BYTES, LAST =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14

local function note(seq)
  local packed = call('HGET', NOTES, seq)
  return packed and cmsgpack.unpack(packed)
end

local function write(seq, entry)
  call('HSET', NOTES, seq, cmsgpack.pack(entry))
end

local function forget(seq, known)
  local entry = known or note(seq)
  -- The id may belong to a newer entry by now.
  if entry and call('HGET', NOTES, 'i' .. entry[ID]) == seq then call('HDEL', NOTES, 'i' .. entry[ID]) end
  call('HDEL', NOTES, seq)
  head.past = head.past - call('ZREM', PAST, seq)
  changed = true
  -- An epoch without entries would stay forever.
  if head.kept == 0 and head.past == 0 then call('DEL', NOTES) end
end

-- Whether the state can still change: neither acknowledged nor expired nor dropped.
local function isOpen(entry)
  return entry[STATE] == QUEUED or entry[STATE] == SENT or entry[STATE] == RECEIVED
end

-- Whether the entry was handed over and its acknowledgement, if on, is still due.
local function isPending(entry)
  return entry[ATTEMPTS] > 0 and isOpen(entry)
end

-- Removes an entry from the log. `cause`: ttl, age or overflow. The digit in the reply is a sum: 4 for dropped by
-- overflow, 2 for neither received nor acknowledged, 1 for acknowledgement still due.
local function leave(seq, entry, cause)
  -- Starts with steps that need no memory: a full Redis can still remove entries.
  call('ZREM', ORDER, seq)
  call('ZREM', ENDS, seq)
  call('ZREM', LANES, seq)
  head.bytes = math.max(0, head.bytes - (entry[BYTES] or call('HSTRLEN', TEXT, seq)))
  call('HDEL', TEXT, seq, 't' .. seq)
  head.kept = head.kept - 1
  changed = true
  local n = tonumber(seq)
  local received = n <= head.received
  if cause ~= 'ttl' then
    head.removed = math.max(head.removed, n)
    if not received and entry[IS_ACKED] == 0 then head.lost = math.max(head.lost, n) end
  end
  local pending = acknowledged and isPending(entry)
  local settled = received
  if acknowledged then settled = entry[IS_ACKED] == 1 end
  local digit = (pending and 1 or 0) + (settled and 0 or 2)
  local ended = EXPIRED
  if cause == 'overflow' then
    digit = digit + 4
    ended = DROPPED
  end
  -- With acknowledgement off, an evicted entry that was handed over keeps its state.
  local stays = cause == 'overflow' and not acknowledged and entry[STATE] ~= QUEUED
  gone[#gone + 1] = digit
  if forgetsAtOnce and entry[OCCURRED] + retention < now then return forget(seq, entry) end
  if isOpen(entry) and not stays then entry[STATE], entry[AT] = ended, now end
  write(seq, entry)
  call('ZADD', PAST, entry[OCCURRED] + retention, seq)
  head.past = head.past + 1
  if head.past == 1 then call('PEXPIRE', PAST, KEPT) end
  if head.past > MAX_PAST then forget(call('ZRANGE', PAST, 0, 0)[1]) end
end

-- When ttl and age end together, the ttl counts.
local function endIt(seq)
  local entry = note(seq)
  leave(seq, entry, entry[EXPIRES] >= 0 and entry[EXPIRES] <= entry[AGES] and 'ttl' or 'age')
end

-- Removes a bounded number of ended entries. Returns whether there may be more.
local function purge()
  local over = call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. whole(now), 'LIMIT', 0, MAX_PURGED)
  for _, seq in ipairs(over) do endIt(seq) end
  return #over == MAX_PURGED
end

local function reply(more, ...)
  if not head then return { -1, 0, '', 0, 0, ... } end
  if changed then save() end
  local parts = (head.kept > 0 or head.past > 0) and PARTS_BYTES or 0
  local bytes = HEAD_BYTES + parts + head.bytes + head.kept * ENTRY_BYTES + head.past * PAST_BYTES
  local same = head.kept == keptBefore and head.past == pastBefore and head.bytes == bytesBefore
  return { same and -1 or head.kept, bytes, table.concat(gone), tracked, more and 1 or 0, ... }
end
