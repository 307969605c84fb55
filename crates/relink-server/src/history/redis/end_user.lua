-- user, how long ago, code, reason
insist()
for _, session in ipairs(redis.call('ZRANGE', prefix .. 'of:' .. ARGV[8], '0', '-1')) do
  local began = redis.call('HGET', prefix .. 'session:' .. session, 'began')
  if tonumber(began or 0) <= now - tonumber(ARGV[9]) then
    end_session(session, ARGV[8])
    redis.call('PUBLISH', prefix .. 'news:s:' .. session, 'e' .. ARGV[10] .. ' ' .. ARGV[11])
  end
end
