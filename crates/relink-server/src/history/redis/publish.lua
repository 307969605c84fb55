-- session or nothing, publications → nothing; or "user" where its user has no room; or "unknown" where there is none
local user = ''
if ARGV[8] ~= '' then
  user = redis.call('HGET', prefix .. 'session:' .. ARGV[8], 'user')
  if not user then
    return 'unknown'
  end
end
if not has_room(9, user) then
  return 'user'
end
demand_room()
append_all(9, user)
