-- session, session, ...
for i = 8, #ARGV do
  keep(ARGV[i])
end
sweep()
