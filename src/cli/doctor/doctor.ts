import type { Config, Environment } from '../../config/config.ts'
import { givenUrl, keyOf, localUrl } from '../address.ts'
import type { Arguments } from '../options.ts'
import { type Colour, printable, type Terminal } from '../terminal.ts'
import type { Finding } from './finding.ts'
import { checkDescriptors, checkPorts } from './machine.ts'
import { checkRedis, redisUses } from './redis.ts'
import { checkService } from './service.ts'
import { checkSettings } from './settings.ts'
import { checkStoreFile } from './store-file.ts'

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const satisfies Record<string, Colour>
const STATUS_WIDTH = 4
const CHECK_WIDTH = 12

/** Checks the service at `--url`, or on this machine if it runs. */
async function checkRunning(args: Arguments, config: Config, env: Environment): Promise<readonly Finding[]> {
  const given = givenUrl(args)
  const key = keyOf(args, env)
  if (given !== undefined) return await checkService({ url: given, healthUrl: given, key }, config, env)
  const { findings, isRunning } = await checkPorts(config)
  if (!isRunning) return findings
  const url = localUrl(config.serverHost, config.serverPort)
  const healthUrl = localUrl(config.serverHost, config.internalPort || config.serverPort)
  return [...findings, ...(await checkService({ url, healthUrl, key }, config, env))]
}

/** Runs the independent checks at once, so that one frozen part costs its time once. */
async function checkAll(args: Arguments, env: Environment): Promise<readonly Finding[]> {
  const { findings, config } = checkSettings(env)
  if (config === undefined) return findings
  const servers = redisUses(config).map(use => checkRedis(use, config, env))
  const [running, ...redis] = await Promise.all([checkRunning(args, config, env), ...servers])
  return [...findings, checkDescriptors(config), ...checkStoreFile(config), ...redis.flat(), ...running]
}

function lineOf({ check, status, message, advice }: Finding, terminal: Terminal): string {
  const mark = terminal.paint(COLOURS[status], status.padEnd(STATUS_WIDTH))
  const what = advice === undefined ? message : `${message.replace(/\.$/, '')}. To do: ${advice}`
  return `${mark}  ${check.padEnd(CHECK_WIDTH)}  ${printable(what)}`
}

/** `doctor`: prints one line a check; 1 if one failed. */
export async function examine(args: Arguments, env: Environment, terminal: Terminal): Promise<number> {
  const findings = await checkAll(args, env)
  const isOk = findings.every(({ status }) => status !== 'fail')
  if (args.flag('json')) await terminal.print(JSON.stringify({ ok: isOk, checks: findings }))
  else for (const finding of findings) await terminal.print(lineOf(finding, terminal))
  return isOk ? 0 : 1
}
