-- channel, session, lease, join, the rest of the member → join
sweep()
if redis.call('EXISTS', prefix .. 'session:' .. ARGV[9]) == 0 then
  return false
end
local channel, session, join = ARGV[8], ARGV[9], ARGV[11]
local members = prefix .. 'members:' .. channel
local before = redis.call('HGET', members, session)
local told = ''
if before then
  local _
  _, join, told = member_of(before)
end
local value = member(join, ARGV[12])
redis.call('HSET', members, session, ARGV[10] .. ' ' .. value)
redis.call('SADD', prefix .. 'in:' .. session, channel)
redis.call('ZADD', prefix .. 'present', int(now + session_ttl), session)
-- Whoever came back and says the same of itself is told to nobody.
if told ~= ARGV[12] then
  redis.call('PUBLISH', prefix .. 'news:c:' .. channel, 'j' .. value)
end
return join
