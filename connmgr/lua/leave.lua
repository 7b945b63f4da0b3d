-- The orderly end of a node: KEYS lease, dead, known, then the rows of each worker; ARGV token, milliseconds that the number stays unused.
-- 1: gone; 2: gone, but rows are left for a survivor; 0: not the holder.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    return 2
  end
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
return 1
