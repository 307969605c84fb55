-- session, user → user, received, rejections, turn, seats
local key = prefix .. 'session:' .. ARGV[8]
local user = redis.call('HGET', key, 'user')
if not user then
  return false
end
if user == ARGV[9] then
  insist()
  local turn = redis.call('HINCRBY', key, 'turn', 1)
  keep(ARGV[8])
  redis.call('PUBLISH', prefix .. 'news:s:' .. ARGV[8], 'r' .. int(turn))
end
return session_of(ARGV[8])
