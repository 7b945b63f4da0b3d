-- The dead node has been dealt with: KEYS claim, dead; ARGV the claimer's token, milliseconds that the number stays unused. 1, or 0
-- when the claim is another's by now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return 1
