-- Removes ended entries and forgets entries that left long enough ago; a bounded number of each.
--
-- KEYS and ARGV 1-5: see log.lua.
-- Reply: ..., when there is work again, ms; -1 for never, then for a log without entries about when the last append was, ms. Always reports the size of the log.

if not head then return { 0, 0, '', 0, 0, -1 } end
keptBefore = nil
forgetsAtOnce = true
local more = purge()
local over = call('ZRANGEBYSCORE', PAST, '-inf', '(' .. whole(now), 'LIMIT', 0, MAX_PURGED)
for _, seq in ipairs(over) do forget(seq) end
local next = -1
if head.kept == 0 and head.past == 0 then return reply(false, next, head.touched) end
for _, key in ipairs({ ENDS, PAST }) do
  local first = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  if first and (next < 0 or first < next) then next = first end
end
return reply(more or #over == MAX_PURGED, next)
