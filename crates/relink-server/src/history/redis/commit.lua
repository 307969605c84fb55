-- session, generation, serial, rejection or nothing, then publications → received; or "user" where its user has no room
local key = prefix .. 'session:' .. ARGV[8]
local session = redis.call('HMGET', key, 'received', 'generation', 'user')
if session[2] ~= ARGV[9] then
  return false
end
local received = tonumber(session[1])
if tonumber(ARGV[10]) ~= received + 1 then
  return received
end
local payer = payer_of(ARGV[8], session[3])
if not has_room(12, payer) then
  return 'user'
end
if ARGV[12] then
  demand_room()
  append_all(12, payer)
end
if ARGV[11] ~= '' then
  -- That it was refused is noted where there is room, if need be in the place of earlier refusals of this session; that it came
  -- always is.
  local rejected, refusals, size = prefix .. 'rejected:' .. ARGV[8], 'refusals:' .. payer, size_of(#ARGV[11])
  local earlier = 0
  while earlier and used(refusals) + size - earlier > user_bytes do
    local refusal = redis.call('LPOP', rejected)
    earlier = refusal and earlier + size_of(#refusal)
  end
  if earlier and type(redis.pcall('RPUSH', rejected, ARGV[11])) == 'number' then
    redis.call('LTRIM', rejected, '-1024', '-1')
    redis.call('PEXPIRE', rejected, redis.call('PTTL', key))
    charge(refusals, math.max(size - earlier, 0))
  end
end
insist()
redis.call('HSET', key, 'received', ARGV[10])
return tonumber(ARGV[10])
