-- Counts receipts. KEYS: the connection's hash. ARGV: seconds of a bucket, receipts, seconds that they were late in all.
local time = redis.call('TIME')
local bucket = math.floor(time[1] / ARGV[1])
redis.call('HINCRBY', KEYS[1], bucket .. ':r', ARGV[2])
redis.call('HINCRBY', KEYS[1], bucket .. ':d', math.floor(ARGV[3] * 1000))
redis.call('HSET', KEYS[1], 'heard', time[1])
redis.call('EXPIRE', KEYS[1], 86400)
