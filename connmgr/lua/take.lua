-- Takes rows of a dead node away, for their $disconnects: KEYS claim, rows; ARGV the claimer's token, milliseconds, how many (0:
-- only keeps the claim). Ids and rows in turn, none when there are no more; false: the claim is another's by now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local count = tonumber(ARGV[3])
if count == 0 then
  return {}
end
local rows = redis.call('HRANDFIELD', KEYS[2], count, 'WITHVALUES')
for i = 1, #rows, 2 do
  redis.call('HDEL', KEYS[2], rows[i])
end
return rows
