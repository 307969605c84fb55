-- session, user → user, received, rejections, turn
local key = prefix .. 'session:' .. ARGV[8]
local session = redis.call('HMGET', key, 'user', 'received', 'turn')
if not session[1] then
  return false
end
if session[1] ~= ARGV[9] then
  return { session[1], tonumber(session[2]), {}, tonumber(session[3]) }
end
local turn = redis.call('HINCRBY', key, 'turn', 1)
keep(ARGV[8])
redis.call('PUBLISH', prefix .. 'news:s:' .. ARGV[8], 'r' .. int(turn))
return { session[1], tonumber(session[2]), redis.call('LRANGE', prefix .. 'rejected:' .. ARGV[8], '0', '-1'), turn }
