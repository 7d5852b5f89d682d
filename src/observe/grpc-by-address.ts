import { isIP } from 'node:net'
import type { credentials } from '@grpc/grpc-js'

/** What gRPC keeps to itself of a TLS connection that it is about to make. */
interface Connector {
  readonly connectionOptions: { servername?: string }
}
interface Secure {
  _createSecureConnector(...given: unknown[]): Connector
}

/**
 * Lets gRPC connect over TLS to an IP address. gRPC names the address as the server name, which RFC 6066 §3 forbids and the
 * runtime refuses; without a name the certificate is checked against the address all the same.
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
