-- Claims a node whose lease is gone: KEYS lease, claim, dead; ARGV the claimer's token, milliseconds, and the node's own token when
-- the claimer was that node itself, else ''. 1: claimed; 0: it lives; 2: it has been dealt with; 3: another has claimed it.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 2
end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then
  return 0
end
local claimer = redis.call('GET', KEYS[2])
if claimer and claimer ~= ARGV[1] then
  return 3
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return 1
