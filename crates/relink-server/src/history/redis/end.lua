-- session, turn
if redis.call('HGET', prefix .. 'session:' .. ARGV[8], 'turn') == ARGV[9] then
  leave_all(ARGV[8])
  redis.call('ZREM', prefix .. 'sessions', ARGV[8])
  redis.call('ZREM', prefix .. 'of:' .. redis.call('HGET', prefix .. 'session:' .. ARGV[8], 'user'), ARGV[8])
  redis.call('DEL', prefix .. 'session:' .. ARGV[8], prefix .. 'rejected:' .. ARGV[8],
    prefix .. 'top:s:' .. ARGV[8], prefix .. 'log:s:' .. ARGV[8])
end
