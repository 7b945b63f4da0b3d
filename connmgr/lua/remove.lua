-- Takes rows away while the writer holds the lease (or the claim): KEYS lease, rows; ARGV token, then ids. 1: they are gone, perhaps
-- since before; 0: not the holder.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
end
return 1
