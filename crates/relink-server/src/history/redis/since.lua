-- stream, epoch or nothing, offset, limit, session or nothing → epoch, offset of the top, whether it can be told, offset, kind, payload, ...;
-- or nothing, for the stream of a session that is not; or "user" if the stream would begin and the session's user has no room
local stream, after, limit = ARGV[8], tonumber(ARGV[10]), tonumber(ARGV[11])
if is_over(stream) then
  return false
end
local user = ARGV[12] ~= '' and redis.call('HGET', prefix .. 'session:' .. ARGV[12], 'user')
local payer = user and payer_of(ARGV[12], user) or ''
if payer ~= '' and redis.call('EXISTS', prefix .. 'top:' .. stream) == 0 and not may_keep(payer, stream_size) then
  return 'user'
end
local epoch, offset = open(stream, payer)
local unknown, answer = { epoch, offset, 0 }, { epoch, offset, 1 }
if ARGV[9] == '' or (ARGV[9] == epoch and after == offset) then
  return answer
end
if ARGV[9] ~= epoch or after > offset then
  return unknown
end
local count = int(math.max(limit, 1))
local entries = redis.call('XRANGE', prefix .. 'log:' .. stream, int(after + 1) .. '-0', '+', 'COUNT', count)
if not entries[1] then
  return unknown
end
local first, at = place(entries[1])
if first ~= after + 1 or now - at > max_age then
  return unknown
end
for i = 1, math.min(#entries, limit) do
  answer[#answer + 1] = place(entries[i])
  answer[#answer + 1] = entries[i][2][4]
  answer[#answer + 1] = entries[i][2][6]
end
return answer
