-- Claims a node whose lease is gone: KEYS lease, claim, dead, known; ARGV the claimer's token, milliseconds, the node's own token when
-- the claimer was that node itself, else '', and milliseconds of a lease. 1: claimed; 0: it lives; 2: it has been dealt with; 3: another
-- has claimed it. Where not even its being known is there, Redis has lost its memory of the node, not the node its lease: it gets one
-- of nobody's, '?', and with it the time to write its own.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 2
end
local own = ARGV[3] ~= ''
local holder = redis.call('GET', KEYS[1])
if holder and not (own and (holder == ARGV[3] or holder == '?')) then
  return 0
end
local claimer = redis.call('GET', KEYS[2])
if claimer and claimer ~= ARGV[1] then
  return 3
end
if not own and not claimer and redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('SET', KEYS[4], '1')
  redis.call('SET', KEYS[1], '?', 'PX', ARGV[4])
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('PEXPIRE', KEYS[4], 100 * ARGV[2])
return 1
