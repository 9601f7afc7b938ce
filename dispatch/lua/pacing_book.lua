-- KEYS: the connection's line, then the lines of senders and pairs. ARGV: seconds that a call may wait for its sender or
-- recipient, seconds that it may wait in all; then for each call: 1 if it needs to take no turn, the seconds that it
-- takes of the connection's line, and the number of its other lines with, for each, its place in KEYS and the seconds.
-- Returns for each call the seconds until it may begin; below zero if it is not booked and should come back then.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local patience, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local function free(key) return math.max(tonumber(redis.call('GET', key) or '0'), now) end
local function book(key, at)
    redis.call('SET', key, string.format('%.6f', at), 'PX', math.ceil((at - now) * 1000) + 1000)
end
local answers, at = {}, 3
while at <= #ARGV do
    local direct, seconds, others = ARGV[at] == '1', tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    at = at + 3
    local start, ready, turn = free(KEYS[1]), now, now
    for line = 0, others - 1 do
        local key = KEYS[tonumber(ARGV[at + 2 * line])]
        ready = math.max(ready, free(key))
        turn = math.max(turn, free(key .. ':turn'))
    end
    local waits = ready > start + patience
    if start - now > longest then
        answers[#answers + 1] = string.format('%.6f', now - start)
    elseif waits or (turn > now and not direct) then
        -- Not booked. Whoever comes back has a time of its own, so that a crowd does not come back together.
        local back = direct and ready or math.max(ready, turn)
        if not direct then
            for line = 0, others - 1 do
                book(KEYS[tonumber(ARGV[at + 2 * line])] .. ':turn', back + tonumber(ARGV[at + 2 * line + 1]))
            end
        end
        answers[#answers + 1] = string.format('%.6f', now - math.max(back, now + 0.001))
    else
        start = math.max(start, ready)
        book(KEYS[1], start + seconds)
        for line = 0, others - 1 do
            book(KEYS[tonumber(ARGV[at + 2 * line])], start + tonumber(ARGV[at + 2 * line + 1]))
        end
        answers[#answers + 1] = string.format('%.6f', start - now)
    end
    at = at + 2 * others
end
return answers
