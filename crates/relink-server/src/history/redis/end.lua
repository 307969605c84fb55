-- session, turn
local session = redis.call('HMGET', prefix .. 'session:' .. ARGV[8], 'turn', 'user')
if session[1] == ARGV[9] then
  end_session(ARGV[8], session[2])
end
