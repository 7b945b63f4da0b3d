-- A number for a node: KEYS lease, claim, dead, known; ARGV token, milliseconds. 1: it is this node's; 0: taken, or used not long ago.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 0
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('SET', KEYS[4], '1')
  return 1
end
return 0
