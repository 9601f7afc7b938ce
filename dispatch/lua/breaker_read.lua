-- Sums up how a connection does, and lets an open breaker be probed when its pause is over.
-- KEYS: the connection's hash. ARGV: seconds of a bucket, of the window, of what is recent, and of silence.
-- Returns the state, what it changed to or "", the reason, the seconds in it; then sums: good and bad calls; recent
-- calls, their milliseconds and messages; messages that should have a receipt, receipts, the milliseconds they were
-- late; and the seconds since the last receipt, -1 for never.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local hash = KEYS[1]
local width, window, recent, silent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local all = redis.call('HGETALL', hash)
local plain, sums, stale = {}, { g = 0, b = 0, c = 0, t = 0, n = 0, s = 0, r = 0, d = 0 }, {}
for at = 1, #all, 2 do
    local number, kind = string.match(all[at], '^(%d+):(%a)$')
    if not number then
        plain[all[at]] = all[at + 1]
    else
        local age = now - (number + 1) * width
        local value = tonumber(all[at + 1])
        if age > window then
            stale[#stale + 1] = all[at]
        else
            local counts = kind == 'g' or kind == 'b' or kind == 'r' or kind == 'd'
            if counts or (kind == 's' and age >= silent) or (kind ~= 's' and age < recent) then
                sums[kind] = sums[kind] + value
            end
            if (kind == 'g' or kind == 'b') and age < recent then sums.c = sums.c + value end
        end
    end
end
for at = 1, #stale, 1000 do redis.call('HDEL', hash, unpack(stale, at, math.min(at + 999, #stale))) end
local state, changed = plain.state or 'closed', ''
if state == 'open' and now >= tonumber(plain['until']) then
    state, changed = 'half_open', 'half_open'
    plain.since = now
    redis.call('HSET', hash, 'state', state, 'since', now, 'probed', 0)
end
local heard = plain.heard and now - tonumber(plain.heard) or -1
return { state, changed, plain.reason or '', tostring(now - (plain.since or now)), sums.g, sums.b, sums.c, sums.t, sums.n,
    sums.s, sums.r, sums.d, tostring(heard) }
