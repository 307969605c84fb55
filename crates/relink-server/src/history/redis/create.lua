-- session, user → user, received, rejections, turn, seats; asked twice, it begins once
local key = prefix .. 'session:' .. ARGV[8]
local user = redis.call('HGET', key, 'user')
if not user then
  redis.call('HSET', key, 'user', ARGV[9], 'received', '0', 'turn', '0')
  keep(ARGV[8])
elseif user ~= ARGV[9] then
  return false
end
return session_of(ARGV[8])
