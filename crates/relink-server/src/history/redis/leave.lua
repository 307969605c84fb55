-- channel, session, lease
local value = redis.call('HGET', prefix .. 'members:' .. ARGV[8], ARGV[9])
if value and member_of(value) == ARGV[10] then
  leave(ARGV[8], ARGV[9], value)
  if redis.call('SCARD', prefix .. 'in:' .. ARGV[9]) == 0 then
    redis.call('ZREM', prefix .. 'present', ARGV[9])
  end
end
