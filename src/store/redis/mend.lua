-- Finds a user's log, as it is in this life of Redis and in this version; a log with a missing part is put together again.

-- The log goes on under another epoch, and keeps its last place as a base: what both lives share.
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

-- Counts anew what an earlier version, or a node that still is one, has not counted.
local function recount(kept)
  head.kept, head.past, head.bytes = kept, call('ZCARD', PAST), 0
  for _, seq in ipairs(call('ZRANGE', ORDER, 0, -1)) do head.bytes = head.bytes + call('HSTRLEN', TEXT, seq) end
  changed = true
  if kept > 0 or head.past > 0 then writeEpoch() end
end

-- Removes keys of another kind than ours: they stand in the place of a part.
local function dropForeign()
  for n, kind in ipairs({ 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'zset' }) do
    local found = call('TYPE', KEYS[n]).ok
    if found ~= 'none' and found ~= kind then call('DEL', KEYS[n]) end
  end
end

-- Entries of which body and notes are there; other bodies are removed.
local function salvage()
  local entries = {}
  for _, field in ipairs(call('HKEYS', TEXT)) do
    local seq = string.gsub(field, '^t', '')
    local read, entry = pcall(note, seq)
    if not (read and type(entry) == 'table' and entry[TYPE]) then
      call('HDEL', TEXT, field)
    elseif seq == field then
      entries[seq] = entry
    end
  end
  return entries
end

local mended = false

-- A part of the log is missing: it was evicted, or removed by somebody else. What is whole is retained under another epoch;
-- of what is gone, and of what had left before, nothing is known any more.
local function mend()
  mended = true
  dropForeign()
  local entries = salvage()
  local epoch, bases = string.match(call('HGET', NOTES, 'e') or '', '^(%S+) (%S*)$')
  if not head then begin(epoch or '', bases or '') end
  local before = head.kept
  call('DEL', NOTES, ORDER, ENDS, LANES, PAST)
  head.kept, head.past, head.bytes = 0, 0, 0
  for seq, entry in pairs(entries) do
    local n = tonumber(seq)
    head.seq = math.max(head.seq, n)
    write(seq, entry)
    call('HSET', NOTES, 'i' .. entry[ID], seq)
    call('ZADD', ORDER, n, seq)
    call('ZADD', ENDS, entry[EXPIRES] >= 0 and math.min(entry[EXPIRES], entry[AGES]) or entry[AGES], seq)
    call('ZADD', LANES, entry[IS_ACKED] == 1 and n or (entry[RANK] + 1) * LANE + n, seq)
    head.kept = head.kept + 1
    head.bytes = head.bytes + bytesOf(seq, entry)
  end
  for _ = 1, before - head.kept do gone[#gone + 1] = 6 end
  if before > head.kept then head.removed, head.lost = head.seq, head.seq end
  renew()
  head.touched = now
  save()
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, KEPT) end
end

local function exists(first)
  return call('EXISTS', unpack(KEYS, first))
end

-- False when there is no log and none is to be made. A log of an earlier life goes on under another epoch.
local function find(make)
  local found = redis.pcall('HMGET', HEAD, 'epoch', 'life', 'bases', 'seq', 'received', 'removed', 'touched', 'lost', 'kept',
    'past', 'bytes')
  if found.err or not found[1] then
    if exists(1) > 0 then
      mend()
      return true
    end
    if make then begin(unborn(), '') end
    return make
  end
  head = {
    epoch = found[1], life = found[2], bases = found[3], seq = tonumber(found[4]), received = tonumber(found[5]),
    removed = tonumber(found[6]), touched = tonumber(found[7]), lost = tonumber(found[8]) or 0, kept = tonumber(found[9]),
    past = tonumber(found[10]), bytes = tonumber(found[11]) or 0
  }
  local kept = call('ZCARD', ORDER)
  tookBefore = head.kept and head.past and takes()
  local past = head.past or call('ZCARD', PAST)
  local parts = ((head.kept or kept) > 0 and 4 or 0) + (past > 0 and 1 or 0)
  if exists(2) ~= parts + (parts > 0 and 1 or 0) then
    head.kept, head.past = head.kept or kept, past
    mend()
    return true
  end
  if kept ~= head.kept then recount(kept) end
  if head.life ~= ARGV[2] then renew() end
  return true
end
