import type { Command, Option } from './options.ts'

export const JSON_OPTION = { json: { help: 'print JSON' } }
const HELP = { help: { help: 'show this help' } }
const ADDRESS: Readonly<Record<string, Option>> = {
  url: { value: 'url', help: 'the service (default: SERVER_HOST, SERVER_PORT)' },
}
const KEY: Readonly<Record<string, Option>> = {
  'api-key': { value: 'key', help: 'API key (default: the first of API_KEY)' },
}
const TENANT = { tenant: { value: 'tenant', help: 'tenant, with TENANT_ENABLED=true' } }

/** All commands, for parsing and for the help. */
export const COMMANDS = {
  serve: { summary: 'run the service (the default)', options: HELP },
  health: { summary: 'ask the running service whether it is alive', options: { ...ADDRESS, ...HELP } },
  doctor: {
    summary: 'check settings, machine, store, Redis and the running service',
    options: { ...ADDRESS, ...KEY, ...JSON_OPTION, ...HELP },
  },
  token: {
    summary: 'sign a token for a client with JWT_SECRET',
    options: {
      user: { value: 'user', help: 'user id (required)' },
      ...TENANT,
      roles: { value: 'a,b', help: 'roles of the user' },
      channels: { value: 'a,b', help: 'channels that the token allows; b.* allows a prefix' },
      ttl: { value: 'time', help: 'how long it is valid: 90, 15m, 1h, 7d (default: 1h)' },
      ...JSON_OPTION,
      ...HELP,
    },
    example: 'token --user u-7 --ttl 1d',
  },
  send: {
    summary: 'send a notification',
    options: {
      user: { value: 'user', help: 'to one user' },
      users: { value: 'a,b', help: 'to several users' },
      channel: { value: 'channel', help: 'to the subscribers of a channel' },
      channels: { value: 'a,b', help: 'to the subscribers of several channels' },
      broadcast: { help: 'to everyone who is connected' },
      type: { value: 'type', help: 'event type (required)' },
      payload: { value: 'json', help: 'JSON, @file, or - for stdin (default: null)' },
      ttl: { value: 'time', help: 'how long it is kept: 90, 15m, 1h, 7d' },
      priority: { value: 'priority', help: 'Low, Normal, High or Critical' },
      key: { value: 'key', help: 'idempotency key: a repeat sends nothing again' },
      ...TENANT,
      ...ADDRESS,
      ...KEY,
      ...JSON_OPTION,
      ...HELP,
    },
    example: `send --user u-7 --type paid --payload '{"no":42}'`,
  },
  listen: {
    summary: 'print the notifications to a user, one a line',
    options: {
      user: { value: 'user', help: 'sign a token for this user and the channels with JWT_SECRET' },
      ...TENANT,
      token: { value: 'token', help: 'use this token instead' },
      channels: { value: 'a,b', help: 'also print notifications to these channels' },
      cursor: { value: 'cursor', help: 'start after this cursor; "" = at the oldest entry' },
      ...ADDRESS,
      ...JSON_OPTION,
      ...HELP,
    },
    example: 'listen --user u-7 --channels orders,alerts',
  },
  backup: { summary: 'copy the SQLite store to a file; - is stdout', argument: 'file', options: HELP },
  restore: {
    summary: 'replace the store of a stopped service by a copy; - is stdin',
    argument: 'file',
    options: HELP,
  },
} as const satisfies Record<string, Command>

export type CommandName = keyof typeof COMMANDS

export const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name)
