-- user or nothing, publications → nothing; or "user" where that user has no room
if not has_room(9, ARGV[8]) then
  return 'user'
end
demand_room()
append_all(9, ARGV[8])
