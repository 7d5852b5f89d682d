-- Replaces a template, if it is still the one that was read.
--
-- KEYS: 1 HASH of a tenant's templates, by id
-- ARGV: 1 id; 2 as it was read; 3 as it is to be
-- Reply: 1 when it was

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
