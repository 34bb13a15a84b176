/**
 * What can go wrong with a Kyoto Tycoon database, besides its storage, its keys and its values.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { isUtf8 } from "node:buffer"
import { show } from "./internal/show.js"

/**
 * Why an operation of a Kyoto Tycoon database failed.
 *
 * - `NoDatabase`: there is no database of this number or name
 * - `NoRecord`: there is no record, and the operation needs one
 * - `NotANumber`: the record is no number of the kind that is incremented
 * - `Overflow`: the result of an increment is beyond 64 bits, or no number
 * - `CorruptContainer`: the record is no hash, set or list; it is as it was
 * - `IndexOutOfBounds`: the list has no such index
 * - `InvalidArgument`: an argument that cannot mean anything
 * - `InvalidPattern`: a regular expression that does not compile
 * - `NotImplemented`: this database, or this server, cannot do that
 * - `NoProcedure`: there is no procedure of this name
 * - `ProcedureFailed`: a procedure failed; see `cause`
 * - `Connection`: the server cannot be reached, or the connection was lost
 * - `Timeout`: the server did not answer in time
 * - `Protocol`: the server refused the request, or its answer makes no sense
 *
 * @since 0.1.0
 * @category models
 */
export type KtErrorReason =
  | "NoDatabase"
  | "NoRecord"
  | "NotANumber"
  | "Overflow"
  | "CorruptContainer"
  | "IndexOutOfBounds"
  | "InvalidArgument"
  | "InvalidPattern"
  | "NotImplemented"
  | "NoProcedure"
  | "ProcedureFailed"
  | "Connection"
  | "Timeout"
  | "Protocol"

/**
 * An operation of a Kyoto Tycoon database failed, and nothing was written by it.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { KtCompat } from "effect-kv"
 *
 * const visits = Effect.gen(function*() {
 *   const kt = yield* KtCompat.KtCompat
 *   return yield* kt.increment("visits")
 * }).pipe(
 *   Effect.catchTag("KtError", (error) =>
 *     error.reason === "NotANumber" ? Effect.succeed(0n) : Effect.fail(error)
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class KtError extends Data.TaggedError("KtError")<{
  readonly reason: KtErrorReason
  /** The operation, or the procedure. */
  readonly method: string
  /** What was wrong, and what to do. */
  readonly detail: string
  readonly key?: string | Uint8Array | undefined
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.reason}: ${this.method}${
      this.key === undefined ? "" : ` at key ${show(legible(this.key))}`
    }: ${this.detail}`
  }
}

/** Keys are bytes, and most often they are text. */
const legible = (key: string | Uint8Array): string | Uint8Array =>
  typeof key === "string" || !isUtf8(key) ? key : Buffer.from(key).toString("utf8")
