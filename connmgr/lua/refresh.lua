-- Keeps a lease: KEYS lease, claim, dead; ARGV token, milliseconds. 1: held all along; 2: it was gone, nobody had claimed the
-- node, and it is written anew; 0: lost.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 0
end
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if holder then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 2
