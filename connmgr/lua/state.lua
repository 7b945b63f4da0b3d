-- What is known of a node: KEYS lease, claim, dead. 1: it lives; 0: it is dead and claimed; 2: there is nothing of it.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 0
end
return 2 - redis.call('EXISTS', KEYS[1])
