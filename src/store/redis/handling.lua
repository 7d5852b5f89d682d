-- Steps of scripts that deliver and acknowledge.

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
  if isRetained(seq) then call('ZADD', LANES, 'XX', tonumber(seq), seq) end
  return late, latency
end
