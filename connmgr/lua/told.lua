-- A $disconnect of a dead node's connection goes out: KEYS rows, told; ARGV the id, milliseconds. The row goes, and a process that was
-- that node finds the id among those that have been told.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], '1')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
