-- Keeps a lease: KEYS lease and, once more when that is not enough, claim, dead and known; ARGV token, milliseconds. 1: held all along; 2: it
-- was gone, nobody had claimed the node, and it is written anew; 0: lost; 3: the other keys are needed. The usual case has one key, so
-- that it works while a Cluster moves them one by one: where the lease is the node's own, there is neither claim nor death.
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if #KEYS == 1 then
  return 3
end
if (holder and holder ~= '?') or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[4], '1')
return 2
