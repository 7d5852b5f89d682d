-- Replaces a template, if nothing has changed it since it was read.
--
-- KEYS: 1 HASH of a tenant's templates, by id
-- ARGV: 1 id; 2 the template as read; 3 the new template
-- Reply: 1 when it was replaced

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
