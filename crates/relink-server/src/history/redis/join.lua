-- channel, session, lease, join, the rest of the member → {join}; or "store" where the channel is full, or "user" where its
-- user has no room
local channel, session, join, rest = ARGV[8], ARGV[9], ARGV[11], ARGV[12]
if redis.call('EXISTS', prefix .. 'session:' .. session) == 0 then
  return false
end
local members = prefix .. 'members:' .. channel
if redis.call('HEXISTS', members, session) == 0 then
  demand_room()
else
  insist()
end
sweep()
local before = redis.call('HGET', members, session)
local told, had, held = '', 0, 0
if before then
  local _
  _, join, told = member_of(before)
  _, had = without_words(told)
  held = size_of(had)
elseif redis.call('HLEN', members) >= max_members then
  return 'store'
end
local wordless, words = without_words(rest)
local payer = payer_of_member(session, wordless)
if tonumber(redis.call('GET', prefix .. 'words:' .. channel) or 0) - had + words > max_words
  or not may_keep(payer, size_of(words) - held) then
  rest, words = wordless, 0
end
-- An existing member is never turned out for lack of room.
if not before and not may_keep(payer, size_of(words)) then
  return 'user'
end
local value = member(join, rest)
redis.call('HSET', members, session, ARGV[10] .. ' ' .. value)
change_words(channel, words - had)
change('held:' .. payer, size_of(words) - held)
redis.call('SADD', prefix .. 'in:' .. session, channel)
redis.call('ZADD', prefix .. 'present', int(now + session_ttl), session)
-- A member that returns with the same info is not announced.
if told ~= rest then
  redis.call('PUBLISH', prefix .. 'news:c:' .. channel, 'j' .. value)
end
return { join }
