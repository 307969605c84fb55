-- session
redis.call('DEL', prefix .. 'session:' .. ARGV[8], prefix .. 'rejected:' .. ARGV[8],
  prefix .. 'top:s:' .. ARGV[8], prefix .. 'log:s:' .. ARGV[8])
