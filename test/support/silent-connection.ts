import { Connection, type WriteResult } from '../../src/hub/connection.ts'

/** A connection that only counts. */
export class SilentConnection extends Connection {
  readonly transport = 'ws'

  constructor(user: string, tenant: string) {
    super({ user, tenant, roles: [], expiresAt: Number.MAX_SAFE_INTEGER })
  }

  override write(): WriteResult {
    return 'sent'
  }
  override batch(): void {}
  override buffered(): number {
    return 0
  }
  override ask(): void {}
  override async drained(): Promise<void> {}
  override close(): void {}
  override cut(): void {}
  override listen(): boolean {
    return false
  }
  override unlisten(): void {}
}
