/** Constants of the runtime: for the ends it makes itself it reports 1006 and one of these, and sends the client another code. */
const SENT: ReadonlyMap<string, number> = new Map([
  ['Received invalid UTF-8', 1007],
  ['Received too big message', 1009],
  ['Received an incorrectly masked frame', 1002],
  ['Received continuation frame outside a fragmented message', 1002],
  ['Received fragmented control frame', 1002],
  ['Received invalid close code', 1002],
  ['Received invalid close payload', 1002],
  ['Received invalid opcode', 1002],
  ['Received new message inside a fragmented message', 1002],
  ['Received too big control frame', 1002],
  ['Received unexpected RSV1 bit', 1002],
  ['Received unexpected RSV2 or RSV3 bit', 1002],
])

/** The code that ended a WebSocket, from what the runtime reports; a reason it may use in future counts as it reports it. */
export const closeCodeOf = (code: number, reason: string): number =>
  code === 1006 ? (SENT.get(reason) ?? code) : code
