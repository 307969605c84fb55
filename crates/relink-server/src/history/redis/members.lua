-- channel → session, member, session, member, ...
sweep()
local all = redis.call('HGETALL', prefix .. 'members:' .. ARGV[8])
for i = 2, #all, 2 do
  local _, join, rest = member_of(all[i])
  all[i] = member(join, rest)
end
return all
