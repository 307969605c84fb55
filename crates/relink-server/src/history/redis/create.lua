-- session, user
local key = prefix .. 'session:' .. ARGV[8]
redis.call('DEL', key, prefix .. 'rejected:' .. ARGV[8])
redis.call('HSET', key, 'user', ARGV[9], 'received', '0', 'turn', '0')
keep(ARGV[8])
