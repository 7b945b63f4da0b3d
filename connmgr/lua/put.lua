-- Writes rows while the writer holds the lease (or the claim): KEYS lease, rows; ARGV token, then id and row in turn. 1: written;
-- 0: not the holder.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
return 1
