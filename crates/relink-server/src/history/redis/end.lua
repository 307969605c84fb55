-- session, generation
local session = redis.call('HMGET', prefix .. 'session:' .. ARGV[8], 'generation', 'user')
if session[1] == ARGV[9] then
  end_session(ARGV[8], session[2])
end
