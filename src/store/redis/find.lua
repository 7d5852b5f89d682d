-- Reads the head; `head` stays nil without a log. A log of an earlier life of Redis gets a new epoch. A log of an earlier
-- version gets its counts. A log with a missing part is mended. A caller that knows an earlier life only is refused.

local found = redis.pcall('HMGET', HEAD, 'epoch', 'life', 'bases', 'seq', 'received', 'removed', 'touched', 'counts')
local isMissing = force
if found[1] and not found.err then
  head = {
    epoch = found[1], life = found[2], bases = found[3], seq = tonumber(found[4]), received = tonumber(found[5]),
    removed = tonumber(found[6]), touched = tonumber(found[7]), lost = 0, kept = 0, past = 0, bytes = 0
  }
  local counts = found[8] and cmsgpack.unpack(found[8])
  if counts and counts[5] == head.seq then
    head.lost, head.kept, head.past, head.bytes = counts[1], counts[2], counts[3], counts[4]
    keptBefore, pastBefore, bytesBefore = head.kept, head.past, head.bytes
  elseif not force then
    -- A node of an earlier version wrote last, without counts.
    head.kept, head.past, head.bytes = call('ZCARD', ORDER), call('ZCARD', PAST), 0
    for _, seq in ipairs(call('ZRANGE', ORDER, 0, -1)) do head.bytes = head.bytes + call('HSTRLEN', TEXT, seq) end
    changed = true
    if head.kept > 0 or head.past > 0 then writeEpoch() end
  end
  local parts = (head.kept > 0 and 4 or 0) + (head.past > 0 and 1 or 0)
  if parts > 0 then parts = parts + 1 end
  isMissing = isMissing or call('EXISTS', TEXT, NOTES, ORDER, ENDS, LANES, PAST) ~= parts
else
  isMissing = call('EXISTS', unpack(KEYS)) > 0
end

-- A FLUSHALL ends the life, and a log without a head would begin with an epoch that clients know. Other nodes may know the
-- next life: two lives in turn would use up the bases.
if (not head or head.life ~= ARGV[2]) and not mayEvict then
  if string.match(call('GET', LIFE) or '', ' (%S+)$') ~= ARGV[2] then
    return redis.error_reply('STALE the data in Redis were replaced')
  end
end

-- Mends the log: retains entries with body and notes under a new epoch, and forgets all other entries.
if isMissing then
  -- Removes keys of another type first.
  for n, kind in ipairs({ 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'zset' }) do
    local present = call('TYPE', KEYS[n]).ok
    if present ~= 'none' and present ~= kind then call('DEL', KEYS[n]) end
  end
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
    head.bytes = head.bytes + (entry[BYTES] or call('HSTRLEN', TEXT, seq))
  end
  for _ = 1, before - head.kept do gone[#gone + 1] = 6 end
  if before > head.kept then head.removed, head.lost = head.seq, head.seq end
  renew()
  head.touched, renamed = now, true
  save()
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, KEPT) end
elseif head and head.life ~= ARGV[2] then
  renew()
end
