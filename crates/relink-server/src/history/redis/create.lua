-- session, user → user, received, rejections, generation, seats; asked twice, it begins once; or "user" or "store", whose room is
-- used up
local key = prefix .. 'session:' .. ARGV[8]
local user = redis.call('HGET', key, 'user')
if not user then
  demand_room()
  for _, limit in ipairs({ { 'user', 'of:' .. ARGV[9], user_sessions }, { 'store', 'sessions', max_sessions } }) do
    redis.call('ZREMRANGEBYSCORE', prefix .. limit[2], '-inf', int(now))
    if redis.call('ZCARD', prefix .. limit[2]) >= limit[3] then
      return limit[1]
    end
  end
  redis.call('HSET', key, 'user', ARGV[9], 'received', '0', 'generation', '0', 'began', int(now))
  keep(ARGV[8])
elseif user ~= ARGV[9] then
  return false
end
return session_of(ARGV[8])
