import { isIP } from 'node:net'
import type { credentials } from '@grpc/grpc-js'

/** Private options of gRPC for a TLS connection. */
interface Connector {
  readonly connectionOptions: { servername?: string }
}
interface Secure {
  _createSecureConnector(...given: unknown[]): Connector
}

/**
 * Lets gRPC connect over TLS to an IP address. gRPC sends the address as server name, which RFC 6066 §3 forbids and the
 * runtime rejects; without a server name the certificate is still checked against the address.
 */
export function allowAddresses({ createSsl }: typeof credentials): void {
  const secure: Secure = Object.getPrototypeOf(createSsl())
  const create = secure._createSecureConnector
  secure._createSecureConnector = function (...given) {
    const connector = create.apply(this, given)
    if (isIP(connector.connectionOptions.servername ?? '') !== 0)
      delete connector.connectionOptions.servername
    return connector
  }
}
