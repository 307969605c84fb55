-- What all scripts share. Redis runs a script as one step: nobody sees half of it.
--
-- Keys, all beginning with the prefix:
--   session:SESSION   hash      user, received, generation, when it began
--   rejected:SESSION  list      the last refusals
--   top:STREAM        hash      epoch, offset of the last message, bytes kept, time of the oldest kept
--   log:STREAM        stream    the messages; ids are OFFSET-0
--   members:CHANNEL   hash      session to "lease member"
--   in:SESSION        set       the channels it is a member of
--   words:CHANNEL     how many bytes its members say of themselves
--   held:USER         how many bytes count for the members that are a user's sessions
--   present           sorted set of the sessions that are members anywhere, by the time they are given up
--   sessions          sorted set of all sessions, by the time they are over
--   of:USER           the same, of one user
--   used:TIME:USER    how many bytes of a user's messages (of an anonymous SESSION) are kept that came in this time, which is a
--                     multiple of max_age, with the streams that they began
--   used:TIME:refusals:USER  the same, of refusals
-- STREAM is c:CHANNEL or s:SESSION; its news are published to news:STREAM.

local prefix = ARGV[1]
local limits = {}
for limit in string.gmatch(ARGV[2], '%d+') do
  limits[#limits + 1] = tonumber(limit)
end
local max_messages, user_bytes, max_sessions, user_sessions, max_members, max_words = unpack(limits)
local max_bytes = tonumber(ARGV[3])
local max_age, session_ttl, top_ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
-- A number nobody has used yet, for a stream that begins.
local fresh_epoch = ARGV[7]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Lua's own way of printing numbers rounds them.
local function int(number)
  return string.format('%.0f', number)
end

-- Where memory is full, Redis refuses a command that may need more, unless the script has written before. So a script that
-- wants room says so first, and nothing of it is done; it costs nothing.
local function demand_room()
  redis.call('SETRANGE', prefix .. 'room', '0', '')
end

-- And one that has to be carried out, as it needs next to nothing, or gives room back, writes something first.
local function insist()
  redis.call('DEL', prefix .. 'room')
end

-- The bytes of a user's messages, or of its refusals: of this time and of the one before. What is older is not kept.
local function used_key(by, at)
  return prefix .. 'used:' .. int(math.floor(at / max_age)) .. ':' .. by
end

local function used(by)
  local present, before = redis.call('GET', used_key(by, now)), redis.call('GET', used_key(by, now - max_age))
  return tonumber(present or 0) + tonumber(before or 0)
end

local function charge(by, bytes)
  if by ~= '' then
    local key = used_key(by, now)
    redis.call('INCRBY', key, int(bytes))
    redis.call('PEXPIRE', key, int(2 * max_age))
  end
end

local function refund(by, at, bytes)
  local key = used_key(by, at)
  if by ~= '' and redis.call('EXISTS', key) == 1 then
    redis.call('DECRBY', key, int(bytes))
  end
end

-- Who the messages of a session count for: its user. "anonymous" is nobody in particular, so there the session counts by
-- itself.
local function payer_of(session, user)
  return user == 'anonymous' and session or user
end

-- With its place in a stream.
local function size_of(payload)
  return payload + 128
end

local stream_size = 512

local function may_keep(by, bytes)
  return used(by) + tonumber(redis.call('GET', prefix .. 'held:' .. by) or 0) + bytes <= user_bytes
end

-- Whether a user may have kept what stands in the arguments from this one on.
local function has_room(from, by)
  if by == '' or not ARGV[from] then
    return true
  end
  local bytes, begun = 0, {}
  for i = from, #ARGV, 3 do
    bytes = bytes + size_of(#ARGV[i + 2])
    if not begun[ARGV[i]] and redis.call('EXISTS', prefix .. 'top:' .. ARGV[i]) == 0 then
      begun[ARGV[i]] = true
      bytes = bytes + stream_size
    end
  end
  return may_keep(by, bytes)
end

local function of_session(stream)
  return string.sub(stream, 1, 2) == 's:'
end

-- The stream of a session that is not, or not any more: nothing is kept for it.
local function is_over(stream)
  return of_session(stream) and redis.call('EXISTS', prefix .. 'session:' .. string.sub(stream, 3)) == 0
end

-- Epoch, offset, bytes, oldest. A stream that nobody asked for before begins here, and counts for a user, if any.
local function open(stream, by)
  local key = prefix .. 'top:' .. stream
  local top = redis.call('HMGET', key, 'epoch', 'offset', 'bytes', 'oldest')
  if not top[1] then
    demand_room()
    redis.call('DEL', prefix .. 'log:' .. stream)
    redis.call('HSET', key, 'epoch', fresh_epoch, 'offset', '0', 'bytes', '0', 'oldest', '0')
    charge(by, stream_size)
    top = { fresh_epoch, '0', '0', '0' }
  end
  redis.call('PEXPIRE', key, int(of_session(stream) and math.max(session_ttl, max_age) or top_ttl))
  return top[1], tonumber(top[2]), tonumber(top[3]), tonumber(top[4])
end

-- The offset, the time and the size of an entry, and whose it is.
local function place(entry)
  local fields = entry[2]
  return tonumber(string.match(entry[1], '^%d+')), tonumber(fields[2]), #fields[6], fields[8] or ''
end

-- Appends one message, gives up what is too much, and tells the nodes.
local function append(stream, kind, payload, by)
  if is_over(stream) then
    return
  end
  local epoch, offset, bytes, oldest = open(stream, by)
  local log = prefix .. 'log:' .. stream
  local kept = redis.call('XLEN', log)
  if kept == 0 then
    bytes, oldest = 0, now
  end
  offset, bytes, kept = offset + 1, bytes + #payload, kept + 1
  redis.call('XADD', log, int(offset) .. '-0', 'at', int(now), 'kind', kind, 'payload', payload,
    'by', by)
  charge(by, size_of(#payload))
  while kept > 1 and (kept > max_messages or bytes > max_bytes or now - oldest > max_age) do
    local front = redis.call('XRANGE', log, '-', '+', 'COUNT', 2)
    local _, came, size, author = place(front[1])
    redis.call('XDEL', log, front[1][1])
    refund(author, came, size_of(size))
    local _, at = place(front[2])
    bytes, kept, oldest = bytes - size, kept - 1, at
  end
  redis.call('HSET', prefix .. 'top:' .. stream, 'offset', int(offset), 'bytes', int(bytes), 'oldest', int(oldest))
  redis.call('PEXPIRE', log, int(max_age))
  redis.call('PUBLISH', prefix .. 'news:' .. stream, 'p' .. epoch .. ' ' .. int(offset) .. ' ' .. kind .. payload)
end

-- Appends what stands in the arguments from this one on: stream, kind, payload, stream, ...
local function append_all(from, by)
  for i = from, #ARGV, 3 do
    append(ARGV[i], ARGV[i + 1], ARGV[i + 2], by)
  end
end

-- "lease length-of-join joinrest" to the lease, the join, and the rest of it.
local function member_of(value)
  local lease, length, rest = string.match(value, '^(%d+) (%d+) (.*)$')
  return lease, string.sub(rest, 1, tonumber(length)), string.sub(rest, tonumber(length) + 1)
end

local function member(join, rest)
  return #join .. ' ' .. join .. rest
end

-- The rest of a member without its words, and how many bytes those are.
local function without_words(rest)
  local length, user = string.match(rest, '^(%d+) %d (.*)$')
  length = tonumber(length)
  return length .. ' 0 ' .. string.sub(user, 1, length), #user - length
end

local function payer_of_member(session, wordless)
  return payer_of(session, string.match(wordless, '^%d+ 0 (.*)$'))
end

local function change(key, bytes)
  if bytes ~= 0 and redis.call('INCRBY', prefix .. key, int(bytes)) <= 0 then
    redis.call('DEL', prefix .. key)
  end
end

-- The members of a channel say so much more of themselves, or so much less.
local function change_words(channel, bytes)
  change('words:' .. channel, bytes)
end

local function leave(channel, session, value)
  local _, join, rest = member_of(value)
  local wordless, words = without_words(rest)
  redis.call('HDEL', prefix .. 'members:' .. channel, session)
  change_words(channel, -words)
  change('held:' .. payer_of_member(session, wordless), -size_of(words))
  redis.call('SREM', prefix .. 'in:' .. session, channel)
  redis.call('PUBLISH', prefix .. 'news:c:' .. channel, 'l' .. member(join, rest))
end

local function leave_all(session)
  for _, channel in ipairs(redis.call('SMEMBERS', prefix .. 'in:' .. session)) do
    local value = redis.call('HGET', prefix .. 'members:' .. channel, session)
    if value then
      leave(channel, session, value)
    end
  end
  redis.call('DEL', prefix .. 'in:' .. session)
  redis.call('ZREM', prefix .. 'present', session)
end

-- With its stream and its memberships.
local function end_session(session, user)
  leave_all(session)
  redis.call('ZREM', prefix .. 'sessions', session)
  redis.call('ZREM', prefix .. 'of:' .. user, session)
  redis.call('DEL', prefix .. 'session:' .. session, prefix .. 'rejected:' .. session,
    prefix .. 'top:s:' .. session, prefix .. 'log:s:' .. session)
end

-- The members whose node kept them no more, leave. Whoever comes first tells it, and nobody tells it again.
local function sweep()
  local gone = redis.call('ZRANGEBYSCORE', prefix .. 'present', '-inf', int(now), 'LIMIT', '0', '100')
  for _, session in ipairs(gone) do
    leave_all(session)
  end
  return #gone
end

-- Channel, lease, channel, ...
local function seats_of(session)
  local seats = {}
  for _, channel in ipairs(redis.call('SMEMBERS', prefix .. 'in:' .. session)) do
    local value = redis.call('HGET', prefix .. 'members:' .. channel, session)
    if value then
      seats[#seats + 1] = channel
      seats[#seats + 1] = (member_of(value))
    end
  end
  return seats
end

-- User, received, rejections, generation, seats.
local function session_of(session)
  local found = redis.call('HMGET', prefix .. 'session:' .. session, 'user', 'received', 'generation')
  local rejected = redis.call('LRANGE', prefix .. 'rejected:' .. session, '0', '-1')
  return { found[1], tonumber(found[2]), rejected, tonumber(found[3]), seats_of(session) }
end

-- So long again from now on. Tells whether there is such a session.
local function keep(session)
  local ttl = int(session_ttl)
  local known = redis.call('PEXPIRE', prefix .. 'session:' .. session, ttl) == 1
  local user = redis.call('HGET', prefix .. 'session:' .. session, 'user')
  for _, key in ipairs(user and { prefix .. 'sessions', prefix .. 'of:' .. user } or {}) do
    redis.call('ZADD', key, int(now + session_ttl), session)
    redis.call('PEXPIRE', key, ttl)
  end
  redis.call('PEXPIRE', prefix .. 'rejected:' .. session, ttl)
  redis.call('PEXPIRE', prefix .. 'top:s:' .. session, int(math.max(session_ttl, max_age)))
  redis.call('ZADD', prefix .. 'present', 'XX', int(now + session_ttl), session)
  return known
end
