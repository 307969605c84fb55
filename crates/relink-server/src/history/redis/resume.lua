-- session, user → user, received, rejections, generation, seats
local key = prefix .. 'session:' .. ARGV[8]
local user = redis.call('HGET', key, 'user')
if not user then
  return false
end
if user == ARGV[9] then
  insist()
  local generation = redis.call('HINCRBY', key, 'generation', 1)
  keep(ARGV[8])
  redis.call('PUBLISH', prefix .. 'news:s:' .. ARGV[8], 'r' .. int(generation))
end
return session_of(ARGV[8])
