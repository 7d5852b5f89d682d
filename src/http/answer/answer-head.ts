/** Status and headers of an answer, which Elysia calls `set`. */
export interface AnswerHead {
  status?: number | string
  /** By lower-case name. */
  headers: Record<string, string | number>
}
