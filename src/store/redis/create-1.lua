-- Creates a template.
--
-- KEYS: 1 HASH of a tenant's templates, by id
-- ARGV: 1 id; 2 the template; 3 maximum number of templates

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'exists' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'created'
