/**
 * What an engine reports, before anybody knows for which operation: the waist turns it into a `StorageError`, the
 * SQLite client into an `SqlError`.
 *
 * @internal
 */
import { StorageError, type StorageErrorReason } from "../../StorageError.js"

/** @internal */
export class Fault {
  constructor(
    readonly reason: StorageErrorReason,
    readonly detail: string,
    readonly cause?: unknown,
    /**
     * `remembered`: it may be an earlier failure, and be over. `aftermath`: something in the same transaction failed
     * before, and this follows of it. `waited`: the server has waited already for as long as it may.
     */
    readonly kind?: "remembered" | "aftermath" | "waited"
  ) {}
}

/**
 * What errors mean, by the codes that drivers and servers give them.
 *
 * @internal
 */
export type Causes = ReadonlyArray<readonly [codes: RegExp, reason: StorageErrorReason, detail: string]>

/** @internal */
export const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : ""

/** @internal */
export const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** @internal */
export const findCause = (causes: Causes, cause: unknown, error: unknown): Fault | undefined => {
  const code = codeOf(cause)
  const found = causes.find(([codes]) => codes.test(code))
  return found && new Fault(found[1], `${found[2]} (${messageOf(cause)})`, error)
}

/** @internal */
export const closedFault = new Fault(
  "Closed",
  "the connection or transaction it belongs to has ended; wait for fibers that use a transaction before leaving it"
)

/** @internal */
export const otherKeys = (created: string, opened: string): Fault =>
  new Fault(
    "Incompatible",
    `it was created with ${created} keys and is now opened with ${opened} keys; open it as it was created or use another name`
  )

/**
 * A fault as the error of an operation.
 *
 * @internal
 */
export const failing = (method: string, keyspace?: string, key?: string | Uint8Array) => (fault: Fault): StorageError =>
  new StorageError({ cause: fault.cause, detail: fault.detail, key, keyspace, method, reason: fault.reason })
