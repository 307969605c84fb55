-- session, serial, rejection or nothing, then publications → received
local key = prefix .. 'session:' .. ARGV[8]
local received = redis.call('HGET', key, 'received')
if not received then
  return false
end
if tonumber(ARGV[9]) ~= received + 1 then
  return tonumber(received)
end
append_all(11)
redis.call('HSET', key, 'received', ARGV[9])
if ARGV[10] ~= '' then
  local rejected = prefix .. 'rejected:' .. ARGV[8]
  redis.call('RPUSH', rejected, ARGV[10])
  redis.call('LTRIM', rejected, '-1024', '-1')
end
keep(ARGV[8])
return tonumber(ARGV[9])
