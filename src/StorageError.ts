/**
 * What can go wrong in a store: with its engine, with a key, with a counter, with what is imported.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { show } from "./internal/show.js"

/**
 * Why a storage operation failed.
 *
 * - `Busy`: somebody else held the database, this connection or a row for longer than `lockTimeout`; or, on PostgreSQL, a
 *   transaction was lost to a concurrent one
 * - `Full`: no room on the disk, or a page limit is reached
 * - `ReadOnly`: the database was opened read-only, or its file or folder may not be written
 * - `Corrupt`: the file is damaged
 * - `NotADatabase`: the file, or folder, is something else
 * - `Permission`: the operating system refuses access
 * - `Unavailable`: the engine cannot be reached or opened, or the connection was lost; or what is to be exported is not
 *   there
 * - `Closed`: the connection or the transaction that the operation belongs to has ended
 * - `Incompatible`: the stored data was laid out for something else: a newer version, another kind of key
 * - `InvalidValue`: a value that no engine could keep unchanged
 * - `Unknown`: anything else; see `cause`
 *
 * @since 0.1.0
 * @category models
 */
export type StorageErrorReason =
  | "Busy"
  | "Full"
  | "ReadOnly"
  | "Corrupt"
  | "NotADatabase"
  | "Permission"
  | "Unavailable"
  | "Closed"
  | "Incompatible"
  | "InvalidValue"
  | "Unknown"

/**
 * A storage operation failed. Nothing was written by it, unless the connection to a server was lost (`Unavailable`) just
 * as it was: nobody can tell then.
 *
 * Match on `reason` to decide; `message` says what was wrong, where, and what to do.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { KeyValueStore } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kv = yield* KeyValueStore.KeyValueStore
 *   return yield* kv.get("greeting")
 * }).pipe(
 *   Effect.catchTag("StorageError", (error) =>
 *     error.reason === "Busy" ? Effect.succeed(Option.none()) : Effect.fail(error)
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class StorageError extends Data.TaggedError("StorageError")<{
  readonly reason: StorageErrorReason
  /** The operation, for example `get`, `transaction` or `open`. */
  readonly method: string
  /** What was wrong, and what to do. */
  readonly detail: string
  readonly keyspace?: string | undefined
  readonly key?: string | Uint8Array | undefined
  /** What the engine said. */
  readonly cause?: unknown
}> {
  override get message(): string {
    const where = this.keyspace === undefined
      ? ""
      : ` in keyspace ${show(this.keyspace)}${this.key === undefined ? "" : ` at key ${show(this.key)}`}`
    return `${this.reason}: ${this.method}${where}: ${this.detail}`
  }
}

/**
 * A key that no engine could keep unchanged: longer than 2,048 bytes of UTF-8, or holding NUL or a lone surrogate, or
 * a typed key that its schema does not encode. Nothing was read or written.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidKey extends Data.TaggedError("InvalidKey")<{
  readonly keyspace: string
  readonly key: unknown
  readonly issue: string
}> {
  override get message(): string {
    return `${show(this.key)} cannot be a key in keyspace ${show(this.keyspace)}: ${this.issue}`
  }
}

/**
 * What was to be imported cannot be read. What its lines before this one hold is imported, as the counts tell. To have
 * all or nothing, import in a transaction.
 *
 * @since 0.1.0
 * @category errors
 */
export class ImportError extends Data.TaggedError("ImportError")<{
  /** The line, from 1 on. */
  readonly line: number
  readonly issue: string
  /** How many entries were written until then. */
  readonly imported: number
  /** How many were left out because they have expired. */
  readonly expired: number
  /** How many were left out because their key was taken. */
  readonly kept: number
  readonly cause?: unknown
}> {
  override get message(): string {
    return `line ${this.line}: ${this.issue}; imported until then: ${this.imported}`
  }
}

/**
 * `getOrFail` found nothing.
 *
 * @since 0.1.0
 * @category errors
 */
export class KeyNotFound extends Data.TaggedError("KeyNotFound")<{
  readonly keyspace: string
  readonly key: string
}> {
  override get message(): string {
    return `there is no key ${show(this.key)} in keyspace ${show(this.keyspace)}`
  }
}

/**
 * An `increment` whose result cannot be kept exactly: a `bigint` beyond 64 bits, whole numbers beyond 2^53 - 1, what is
 * not finite, or a sum of a `bigint` and a `number`. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class CounterError extends Data.TaggedError("CounterError")<{
  readonly reason: "Overflow" | "NotFinite" | "Mixed"
  readonly keyspace: string
  readonly key: string
  readonly current: number | bigint
  readonly by: number | bigint
}> {
  override get message(): string {
    const because = {
      Mixed: "mixes a bigint and a number; use one of them for the whole store",
      NotFinite: "is not a finite number",
      Overflow: typeof this.by === "bigint"
        ? "goes beyond 64 bits"
        : "goes beyond 2^53 - 1, up to which numbers are exact; use a bigint counter"
    }
    return `${this.current} + ${this.by} at key ${show(this.key)} in keyspace ${show(this.keyspace)} ${
      because[this.reason]
    }`
  }
}
