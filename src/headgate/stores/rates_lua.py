"""The scripts that decide inside Redis or Valkey: each runs as a whole, so that no two deciders see one place free.

Decides what is kept and for how long; refuses to know connections and callers. The arithmetic is that of
`memory_rates.py`. Time is the server's, in seconds since 2026, so that a double still tells 10 nanoseconds; what comes
back is in whole microseconds.

Kept for each rule, under `headgate:{name}:…`, for an hour beyond the time in which it means something:

- `clocks`: the four cell clocks, as doubles.
- `log`: takes of the last minute, by their time, where the minute slides.
- `permits`: places taken, by the end of their lease.
- `waiting`: processes that were denied a place: since when, and when they asked last. One that has waited longer has a
  claim to the next free place; one that does not ask any more has none.

Kept for all: `headgate:run`, the run of the server that wrote it and when (another run, or none, is a restart: places
may have been lost, so nobody gets one for a lease, while their holders assert them again); `headgate:processes`, by
when they are forgotten; `headgate:resting`, hints of breakers.
"""

_NOW = "local t = redis.call('TIME') local now = (t[1] - 1767225600) + t[2] / 1000000 "
_RUN = """
local function began(key, run)
  local told = redis.call('GET', key)
  if told and string.sub(told, 1, #run + 1) == run .. ' ' then return tonumber(string.sub(told, #run + 2)) end
  redis.call('SET', key, run .. ' ' .. string.format('%.6f', now))
  return now
end
"""

TAKE = (
    _NOW
    + _RUN
    + """
local s1, s2, s3, s4, burst, most, places, lease, slice = struct.unpack('<ddddddddd', ARGV[1])
local steps = {s1, s2, s3, s4}
local member = ARGV[2] .. '.' .. ARGV[3]
local c = {0, 0, 0, 0}
local raw = redis.call('GET', KEYS[1])
if raw then c = {struct.unpack('<dddd', raw)} end

local function answer(code, wait, sliced)
  local told = {code, math.ceil(wait * 1000000), math.floor(now * 1000000)}
  for k = 1, 4 do told[k + 3] = math.floor(math.max(c[k] - now, 0) * 1000000) end
  told[8] = sliced or 0
  return told
end

local waited = false
if places >= 0 then
  local since = began(KEYS[5], ARGV[4])
  if now < since + lease then return answer(4, since + lease - now) end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  local free = places - redis.call('ZCARD', KEYS[3])
  local before, mine = 0, nil
  local queue = redis.call('HGETALL', KEYS[4])
  local others = {}
  for i = 1, #queue, 2 do
    local since, seen = struct.unpack('<dd', queue[i + 1])
    if seen < now - 0.25 then redis.call('HDEL', KEYS[4], queue[i])
    elseif queue[i] == ARGV[2] then mine = since
    else others[#others + 1] = since end
  end
  for i = 1, #others do if others[i] < (mine or now) then before = before + 1 end end
  if free <= before then
    redis.call('HSET', KEYS[4], ARGV[2], struct.pack('<dd', mine or now, now))
    redis.call('PEXPIRE', KEYS[4], 3600000)
    return answer(3, before > 0 and 0.05 or 0.025)
  end
  waited = mine
end

local code, wait = 0, 0
for k = 1, 4 do
  if steps[k] >= 0 then
    local found = c[k] - now - math.max(burst - steps[k], 0)
    if found > wait and found > 0.000001 then code, wait = k == 1 and 1 or 2, found end
  end
end
if most >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 60)
  local n = redis.call('ZCARD', KEYS[2])
  if n >= most then
    local found = redis.call('ZRANGE', KEYS[2], n - most, n - most, 'WITHSCORES')[2] + 60 - now
    if found > wait then code, wait = 1, math.max(found, 0.000001) end
  end
end
if code > 0 then return answer(code, wait) end

local longest, limited = 0, false
for k = 1, 4 do
  if steps[k] >= 0 then
    limited = true
    c[k] = math.max(c[k], now) + steps[k]
    longest = math.max(longest, c[k] - now)
  end
end
if slice > 0 then
  if longest < burst / 2 then
    for k = 1, 4 do if steps[k] >= 0 then c[k] = c[k] + slice end end
    longest = longest + slice
  else
    slice = 0
  end
end
if limited then
  redis.call('SET', KEYS[1], struct.pack('<dddd', c[1], c[2], c[3], c[4]), 'PX', math.ceil(longest + 3600) * 1000)
end
if places >= 0 then
  redis.call('ZADD', KEYS[3], now + lease, member)
  redis.call('PEXPIRE', KEYS[3], math.ceil(lease + 3600) * 1000)
  if waited then redis.call('HDEL', KEYS[4], ARGV[2]) end
end
if most >= 0 then
  redis.call('ZADD', KEYS[2], now, member)
  redis.call('PEXPIRE', KEYS[2], 3660000)
end
return answer(0, 0, slice > 0 and 1 or 0)
"""
)
"""One decision. Keys: clocks, log, permits, waiting, run. Arguments: steps, burst and so on as nine doubles (-1 where
there is no such limit), process, number, run. Answers code, wait, time, four clocks ahead of it, and whether a slice
was granted."""

SETTLE = (
    _NOW
    + """
local c1, c2, c3, c4, permits = struct.unpack('<ddddd', ARGV[1])
if c1 ~= 0 or c2 ~= 0 or c3 ~= 0 or c4 ~= 0 then
  local raw = redis.call('GET', KEYS[1])
  if raw then
    local a, b, c, d = struct.unpack('<dddd', raw)
    a, b, c, d = a + c1, b + c2, c + c3, d + c4
    local longest = math.max(a - now, b - now, c - now, d - now, 0)
    redis.call('SET', KEYS[1], struct.pack('<dddd', a, b, c, d), 'PX', math.ceil(longest + 3600) * 1000)
  end
end
for i = 2, #ARGV do redis.call('ZREM', i - 2 < permits and KEYS[3] or KEYS[2], ARGV[i]) end
return 0
"""
)
"""Corrections of one rule. Keys: clocks, log, permits. Arguments: four corrections and the number of permits as five
doubles; permits that end; takes that the log forgets."""

RENEW = (
    _NOW
    + """
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1] + 3600) * 1000)
return 0
"""
)
"""The holders' word that they hold. Keys: permits. Arguments: lease, permits."""

BEAT = (
    _NOW
    + _RUN
    + """
began(KEYS[3], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if tonumber(ARGV[3]) > 0 then redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
else redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], 3600000)
local rank = 0
local alive = redis.call('ZRANGE', KEYS[1], 0, -1)
for i = 1, #alive do if alive[i] < ARGV[1] then rank = rank + 1 end end
local told = {#alive, rank}
local hints = redis.call('HGETALL', KEYS[2])
for i = 1, #hints, 2 do
  local ends, who = string.match(hints[i + 1], '^(%S+) (.*)$')
  if tonumber(ends) <= now then redis.call('HDEL', KEYS[2], hints[i])
  elseif who ~= ARGV[1] then
    told[#told + 1] = hints[i]
    told[#told + 1] = math.ceil((ends - now) * 1000000)
  end
end
return told
"""
)
"""One heartbeat. Keys: processes, resting, run. Arguments: process, run, seconds for which it is alive. Answers how
many are alive, how many of them stand before this one, and what rests by the word of others for how long."""

REST = (
    _NOW
    + """
local seconds = tonumber(ARGV[2])
if seconds <= 0 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
if redis.call('HLEN', KEYS[1]) < 1000 or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.6f', now + seconds) .. ' ' .. ARGV[3])
  redis.call('PEXPIRE', KEYS[1], 3600000)
end
return 0
"""
)
"""One hint. Keys: resting. Arguments: name, seconds, process."""
