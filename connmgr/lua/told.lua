-- A $disconnect of a dead node's connection is about to go out: KEYS rows, told; ARGV the id, the claimer's token, milliseconds. The row
-- goes, and whose the event is stands in its place: for the other survivors, for a process that was that node, and for this claimer, who
-- asks again when the answer is lost. 1: it is this claimer's; 0: another's, or there was no row.
local by = redis.call('HGET', KEYS[2], ARGV[1])
local there = redis.call('HDEL', KEYS[1], ARGV[1])
if by then
  return by == ARGV[2] and 1 or 0
end
if there == 0 then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
