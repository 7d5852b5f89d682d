import type { Config, Environment } from '../../config/config.ts'
import { givenUrl, keyOf, localUrl } from '../address.ts'
import type { Arguments } from '../options.ts'
import { type Colour, printable, type Terminal } from '../terminal.ts'
import type { Caller } from './answers.ts'
import type { Finding } from './finding.ts'
import { checkDescriptors, checkPorts } from './machine.ts'
import { checkRedis } from './redis.ts'
import { redisUses } from './redis-servers.ts'
import { checkService } from './service.ts'
import { checkSettings } from './settings.ts'
import { checkStoreFile } from './store-file.ts'

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const satisfies Record<string, Colour>
const STATUS_WIDTH = 4
const CHECK_WIDTH = 12

/** API key, and the tenant that a bound key chooses. */
function callerOf(args: Arguments, env: Environment, { tenantEnabled, tenantApiKeys }: Config): Caller {
  const key = keyOf(args, env)
  if (key !== undefined || !tenantEnabled) return { key }
  return { key: tenantApiKeys[0]?.key, tenant: tenantApiKeys[0]?.tenant }
}

interface Running {
  readonly findings: readonly Finding[]
  /** The service runs on this machine; undefined if unknown. */
  readonly isHere: boolean | undefined
}

/** Checks the service at `--url`, or on this machine if it runs. */
async function checkRunning(args: Arguments, config: Config, env: Environment): Promise<Running> {
  const given = givenUrl(args)
  const caller = callerOf(args, env, config)
  const check = (url: string, healthUrl: string) => checkService({ url, healthUrl, ...caller }, config, env)
  if (given !== undefined) return { findings: await check(given, given), isHere: undefined }
  const { findings, isRunning } = await checkPorts(config)
  if (!isRunning) return { findings, isHere: isRunning }
  const { serverHost, serverPort, internalPort } = config
  const url = localUrl(serverHost, serverPort)
  const found = await check(url, localUrl(serverHost, internalPort || serverPort))
  return { findings: [...findings, ...found], isHere: true }
}

/** Runs the independent checks at once, so that one frozen part costs its time once. */
async function checkAll(args: Arguments, env: Environment): Promise<readonly Finding[]> {
  const { findings, config } = checkSettings(env)
  if (config === undefined) return findings
  const servers = redisUses(config).map(use => checkRedis(use, config, env))
  const [running, ...redis] = await Promise.all([checkRunning(args, config, env), ...servers])
  return [
    ...findings,
    checkDescriptors(config),
    ...checkStoreFile(config, running.isHere),
    ...redis.flat(),
    ...running.findings,
  ]
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
  const lines = findings.map(finding => lineOf(finding, terminal))
  const text = args.flag('json') ? JSON.stringify({ ok: isOk, checks: findings }) : lines.join('\n')
  await terminal.print(text)
  return isOk ? 0 : 1
}
