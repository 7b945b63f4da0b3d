-- Keeps the claim of a dead node, and reads some of its rows: KEYS claim, rows; ARGV the claimer's token, milliseconds, where to go on
-- (HSCAN's cursor), about how many (0: none). The next cursor, then ids and rows in turn; false: the claim is another's by now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[4] == '0' then
  return {ARGV[3]}
end
local page = redis.call('HSCAN', KEYS[2], ARGV[3], 'COUNT', ARGV[4])
table.insert(page[2], 1, page[1])
return page[2]
