-- session, session, ... → those that there are no more
local lost = {}
for i = 8, #ARGV do
  if not keep(ARGV[i]) then
    lost[#lost + 1] = ARGV[i]
  end
end
sweep()
return lost
