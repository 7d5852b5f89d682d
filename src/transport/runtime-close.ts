/** Close codes that the runtime sends, by the reason that it reports with 1006. */
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

/** The code that the client received. Unknown reasons keep the reported code. */
export const closeCodeOf = (code: number, reason: string): number =>
  code === 1006 ? (SENT.get(reason) ?? code) : code
