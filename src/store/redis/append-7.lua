-- Appends one entry to a user's log, unless the log knows its id.
--
-- KEYS and ARGV 1-5: see log.lua.
-- ARGV: 6 deadline by the clock of Redis, ms: later the script appends nothing; 7 unexpired entries retained; 8 id; 9
-- body, or a reference to it; 10 event type; 11 when it occurred; 12 rank of its priority, 0-3; 13 end by ttl, or empty;
-- 14 traceparent, or empty; 15 bytes that count for the body; 16 key of the recipients, or empty when other commands note
-- them; 17 index of the user in the send; 18 the user; 19 ms to keep the recipients
-- Reply: ..., epoch, seq, 1 when the id was known; as one text with blanks, which clients read faster than a list

-- `now` is the clock of Redis, unless a test sets it.
if (ARGV[1] == '' and now or time()) > tonumber(ARGV[6]) then
  return redis.error_reply('LATE the deadline of the append has passed')
end

local most, id, body, expires = tonumber(ARGV[7]), ARGV[8], ARGV[9], tonumber(ARGV[13]) or -1
if not head then begin(unborn(), '') end
purge()
-- Before the entry, so that no entry exists with unknown recipients.
if ARGV[16] ~= '' then
  call('ZADD', ARGV[16], 'NX', ARGV[17], ARGV[18])
  call('PEXPIRE', ARGV[16], ARGV[19])
end

local known = call('HGET', NOTES, 'i' .. id)
local ends = known and call('ZSCORE', ENDS, known)
if ends and tonumber(ends) < now then
  endIt(known)
elseif ends then
  -- Marks the head as changed and writes it again: a caller that waits for replicas must wait for the first write too.
  changed = true
  return table.concat(reply(false, head.epoch, known, 1), ' ')
end

local wasEmpty = head.kept == 0
head.seq = head.seq + 1
changed = true
local seq = whole(head.seq)

-- An entry that arrives expired only uses up a seq.
if expires < 0 or now <= expires then
  local rank, ages = tonumber(ARGV[12]), now + retention
  -- Fields in the order of the names in log.lua.
  local bytes = tonumber(ARGV[15])
  local entry = { id, rank, tonumber(ARGV[11]), expires, ages, now, QUEUED, 0, 0, 0, 0, ARGV[10], bytes }
  if wasEmpty and head.past == 0 then writeEpoch() end
  call('HSET', NOTES, seq, cmsgpack.pack(entry), 'i' .. id, seq)
  call('HSET', TEXT, seq, body)
  if ARGV[14] ~= '' then call('HSET', TEXT, 't' .. seq, ARGV[14]) end
  call('ZADD', ORDER, head.seq, seq)
  call('ZADD', ENDS, expires >= 0 and math.min(expires, ages) or ages, seq)
  call('ZADD', LANES, (rank + 1) * LANE + head.seq, seq)
  head.kept = head.kept + 1
  head.bytes = head.bytes + bytes
end

-- Chooses the entry to evict by the overflow rule (`StoreLimits.maxEntries` in store.ts).
local function victim()
  local first = call('ZRANGE', LANES, 0, 0)[1]
  if acknowledged then return first end
  local oldest = call('ZRANGE', ORDER, 0, 0)[1]
  return tonumber(oldest) <= head.received and oldest or first
end

-- Evicts several only after the limit was lowered; the next appends continue.
for _ = 1, MAX_PURGED do
  if head.kept <= most then break end
  local next = call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
  if tonumber(next[2]) < now then
    endIt(next[1])
  else
    local seq = victim()
    leave(seq, note(seq), 'overflow')
  end
end

if wasEmpty or now - head.touched > DAY then
  head.touched, renamed = now, true
  save()
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, KEPT) end
end
return table.concat(reply(false, head.epoch, seq, 0), ' ')
