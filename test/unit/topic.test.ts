import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { channelTopic, tenantOf, tenantTopic, userTopic } from '../../src/notification/topic.ts'

test('the tenant of a topic is found whatever topics were asked about before', () => {
  const tenants = fc.constantFrom('a', 'ab', 'abc', 'b', 'default')
  const names = fc.constantFrom('a', 'ab', 'a:b', ':', 'b:default')
  const kinds = fc.constantFrom(userTopic, channelTopic, tenantTopic)
  fc.assert(
    fc.property(fc.array(fc.tuple(tenants, names, kinds), { size: '+1' }), asked => {
      for (const [tenant, name, topicOf] of asked) expect(tenantOf(topicOf(tenant, name))).toBe(tenant)
    }),
  )
})
