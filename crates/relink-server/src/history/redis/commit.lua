-- session, turn, serial, rejection or nothing, then publications → received
local key = prefix .. 'session:' .. ARGV[8]
local session = redis.call('HMGET', key, 'received', 'turn')
if session[2] ~= ARGV[9] then
  return false
end
local received = tonumber(session[1])
if tonumber(ARGV[10]) ~= received + 1 then
  return received
end
append_all(12)
redis.call('HSET', key, 'received', ARGV[10])
if ARGV[11] ~= '' then
  local rejected = prefix .. 'rejected:' .. ARGV[8]
  redis.call('RPUSH', rejected, ARGV[11])
  redis.call('LTRIM', rejected, '-1024', '-1')
  redis.call('PEXPIRE', rejected, redis.call('PTTL', key))
end
return tonumber(ARGV[10])
