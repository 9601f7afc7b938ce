-- Counts calls, and opens or closes the breaker if they say so.
-- KEYS: the connection's hash. ARGV: seconds of a bucket, the ratio, window, least, enough, soon, probes, first and
-- longest pause, the reason; then for each call: 1 or 0, its seconds, its messages, and how many were accepted.
-- Returns the state, what it changed to or "", the reason, and the seconds until it may be probed.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local hash = KEYS[1]
local bucket = math.floor(now / ARGV[1])
local ratio, window, least = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local enough, soon, probes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local first_pause, longest_pause, reason = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local function read(name) return tonumber(redis.call('HGET', hash, name) or '0') end
local function add(kind, count)
    if count ~= 0 then redis.call('HINCRBY', hash, bucket .. kind, count) end
end
local state = redis.call('HGET', hash, 'state') or 'closed'
local since = read('since')
local bad, good = 0, 0
for at = 11, #ARGV, 4 do
    local ok, seconds = ARGV[at] == '1', tonumber(ARGV[at + 1])
    add(ok and ':g' or ':b', 1)
    add(':t', math.floor(seconds * 1000))
    add(':n', tonumber(ARGV[at + 2]))
    add(':s', tonumber(ARGV[at + 3]))
    if now - seconds >= since then
        if ok then good = good + 1 else bad = bad + 1 end
    end
end
-- Failures in a row, and when the last good answer came: a provider that fell silent has neither a ratio yet nor a word.
if good > 0 then
    redis.call('HSET', hash, 'good_at', now, 'row', 0)
elseif bad > 0 then
    redis.call('HINCRBY', hash, 'row', bad)
end
redis.call('EXPIRE', hash, 86400)
local changed = ''
local function open()
    local times = read('times')
    redis.call('HSET', hash, 'state', 'open', 'since', now, 'until', now + math.min(first_pause * 2 ^ times,
        longest_pause), 'times', times + 1, 'reason', reason, 'probed', 0)
    state, changed = 'open', 'open'
end
if state == 'half_open' and bad > 0 then
    open()
elseif state == 'half_open' and good > 0 then
    if redis.call('HINCRBY', hash, 'probed', good) >= probes then
        local stale = {}
        for _, name in ipairs(redis.call('HKEYS', hash)) do
            if string.match(name, ':[gb]$') then stale[#stale + 1] = name end
        end
        if #stale > 0 then redis.call('HDEL', hash, unpack(stale)) end
        redis.call('HSET', hash, 'state', 'closed', 'since', now, 'times', 0, 'reason', '')
        state, changed = 'closed', 'closed'
    end
elseif state == 'closed' and bad > 0 then
    local buckets, found = {}, {}
    local all = redis.call('HGETALL', hash)
    for at = 1, #all, 2 do
        local number, kind = string.match(all[at], '^(%d+):([gb])$')
        if number then
            if not found[number] then
                found[number] = { tonumber(number), 0, 0 }
                buckets[#buckets + 1] = found[number]
            end
            found[number][kind == 'g' and 2 or 3] = tonumber(all[at + 1])
        end
    end
    table.sort(buckets, function(one, other) return one[1] > other[1] end)
    local failed, calls = 0, 0
    for _, counts in ipairs(buckets) do
        local age = now - (counts[1] + 1) * ARGV[1]
        if age > window or (age >= soon and calls >= enough) then break end
        failed, calls = failed + counts[3], calls + counts[2] + counts[3]
    end
    local row = read('row')
    if calls >= least and failed / calls >= ratio then
        reason = reason .. ', ' .. failed .. ' of ' .. calls
        open()
    elseif row >= least and now - read('good_at') >= soon then
        reason = reason .. ', ' .. row .. ' in a row'
        open()
    end
end
return { state, changed, reason, tostring(state == 'open' and read('until') - now or 0) }
