"""What Redis does by itself, each in one step that nobody sees half of: storing, purging, sweeping.

A hash for each URL holds `url`, `about`, and its responses, each under 16 bytes that stand for what selects it. Of
each of them `about` says when it came (µs), when it is of no more use (ms), its size, its tags, and which purge was
the last before it came. Purges are numbered by microseconds, and stand in a stream (`log`) for those who have not
heard of them yet.
"""

PUT = """
-- KEYS: hash, log. ARGV: variant, value, url, last purge heard, ms of use, most variants, most bytes, tags...
-- 0, or the number of a purge that whoever stores this has not heard of: it may be what was purged.
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last > tonumber(ARGV[4]) then
  return last
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_whole, about = pcall(cmsgpack.unpack, redis.call('HGET', KEYS[1], 'about') or '')
if not is_whole or type(about) ~= 'table' then
  redis.call('UNLINK', KEYS[1])
  about = {}
end
about[ARGV[1]] = nil
local others = {}
for variant in pairs(about) do
  others[#others + 1] = variant
end
table.sort(others, function(a, b) return about[a].came > about[b].came end)
local bytes, latest = #ARGV[2], now + ARGV[5]
for place, variant in ipairs(others) do
  local its = about[variant]
  bytes = bytes + its.size
  if its.ends <= now or place >= tonumber(ARGV[6]) or bytes > tonumber(ARGV[7]) then
    redis.call('HDEL', KEYS[1], variant)
    about[variant] = nil
  else
    latest = math.max(latest, its.ends)
  end
end
local tags = {}
for place = 8, #ARGV do
  tags[#tags + 1] = ARGV[place]
end
local came = time[1] * 1000000 + time[2]
about[ARGV[1]] = {came = came, ends = now + ARGV[5], size = #ARGV[2], seen = tonumber(ARGV[4]), tags = tags}
redis.call('HSET', KEYS[1], 'url', ARGV[3], 'about', cmsgpack.pack(about), ARGV[1], ARGV[2])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', latest))
return 0
"""

PURGE = """
-- KEYS: log, what shows that it is done, hashes... ARGV: message, most entries of the log, seconds to show it
-- Whether it was done just now, and its number.
local done = redis.call('GET', KEYS[2])
if done then
  return {0, tonumber(done)}
end
for place = 3, #KEYS do
  redis.call('UNLINK', KEYS[place])
end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
local time = redis.call('TIME')
local number = string.format('%.0f', math.max(time[1] * 1000000 + time[2], last + 1))
local former = string.format('%.0f', last)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], number .. '-0', 'message', ARGV[1], 'former', former)
redis.call('SET', KEYS[2], number, 'EX', ARGV[3])
return {1, tonumber(number)}
"""

SWEEP = """
-- KEYS: hashes... ARGV, for each purge: number, 1 for everything, how many prefixes, they, how many tags, they
local place, purges = 0, {}
local function take()
  place = place + 1
  return ARGV[place]
end
local function list()
  local items = {}
  for number = 1, tonumber(take()) do
    items[number] = take()
  end
  return items
end
while place < #ARGV do
  local purge = {before = tonumber(take()), is_all = take() == '1', prefixes = list(), tags = {}}
  for _, tag in ipairs(list()) do
    purge.tags[tag] = true
  end
  purges[#purges + 1] = purge
end
local function takes(purge, url, its)
  if its.seen >= purge.before then
    return false
  end
  if purge.is_all then
    return true
  end
  for _, prefix in ipairs(purge.prefixes) do
    if string.sub(url, 1, #prefix) == prefix then
      return true
    end
  end
  for _, tag in ipairs(its.tags) do
    if purge.tags[tag] then
      return true
    end
  end
  return false
end
local count = 0
for _, key in ipairs(KEYS) do
  local held = redis.call('HMGET', key, 'url', 'about')
  local is_whole, about = pcall(cmsgpack.unpack, held[2] or '')
  if not is_whole or type(about) ~= 'table' or not held[1] then
    redis.call('UNLINK', key)
  else
    local gone = {}
    for variant, its in pairs(about) do
      for _, purge in ipairs(purges) do
        if takes(purge, held[1], its) then
          gone[#gone + 1] = variant
          break
        end
      end
    end
    for _, variant in ipairs(gone) do
      about[variant] = nil
    end
    count = count + #gone
    if next(about) == nil then
      redis.call('UNLINK', key)
    elseif #gone > 0 then
      redis.call('HDEL', key, unpack(gone))
      redis.call('HSET', key, 'about', cmsgpack.pack(about))
    end
  end
end
return count
"""

__all__ = ["PURGE", "PUT", "SWEEP"]
