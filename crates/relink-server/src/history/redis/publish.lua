-- session or nothing, publications → nothing; or "user" where its user has no room; or "unknown" where there is none
local payer = ''
if ARGV[8] ~= '' then
  local user = redis.call('HGET', prefix .. 'session:' .. ARGV[8], 'user')
  if not user then
    return 'unknown'
  end
  payer = payer_of(ARGV[8], user)
end
if not has_room(9, payer) then
  return 'user'
end
demand_room()
append_all(9, payer)
