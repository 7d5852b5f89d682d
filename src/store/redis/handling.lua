-- Steps of scripts that deliver and acknowledge.

local function deliver(entry, at)
  entry[ATTEMPTS] = entry[ATTEMPTS] + 1
  if entry[ATTEMPTS] > 1 then
    entry[LAST] = at
    return
  end
  entry[FIRST] = at
  if entry[STATE] == QUEUED then entry[STATE], entry[AT] = SENT, at end
  if acknowledged then tracked = tracked + 1 end
end

local function isRetained(seq)
  return call('ZSCORE', ORDER, seq) ~= false
end

-- Acknowledges an entry, retained or not. Returns whether it is late, and the latency in ms; -1 when late or already
-- acknowledged.
local function acknowledge(seq, entry)
  local late = (entry[STATE] == EXPIRED or entry[STATE] == DROPPED) and 1 or 0
  if entry[IS_ACKED] == 1 then return late, -1 end
  entry[IS_ACKED] = 1
  local latency = -1
  if late == 0 then
    -- An acknowledgement proves a delivery that is not noted yet.
    if entry[ATTEMPTS] == 0 then deliver(entry, now) end
    entry[STATE], entry[AT] = ACKED, now
    latency = math.max(0, now - entry[FIRST])
  end
  write(seq, entry)
  if isRetained(seq) then call('ZADD', LANES, 'XX', tonumber(seq), seq) end
  return late, latency
end
