-- session → user, received, rejections
local session = redis.call('HMGET', prefix .. 'session:' .. ARGV[8], 'user', 'received')
if not session[1] then
  return false
end
keep(ARGV[8])
return { session[1], tonumber(session[2]), redis.call('LRANGE', prefix .. 'rejected:' .. ARGV[8], '0', '-1') }
