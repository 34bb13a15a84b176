/**
 * One call of an operation: how it is named in errors, in spans and in metrics.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { ParentSpan } from "effect/Tracer"
import type { StorageError } from "../../StorageError.js"
import { failing, type Fault } from "./fault.js"

/** @internal */
export interface Call<E> {
  readonly fail: (fault: Fault) => E
  /** Without one it is not traced: it is a part of something else. */
  readonly method?: string
  readonly keyspace?: string | undefined
}

/** @internal */
export const callOf = (method: string, keyspace?: string, key?: string | Uint8Array): Call<StorageError> => ({
  fail: failing(method, keyspace, key),
  keyspace,
  method
})

/**
 * The span of a call, named and described by OpenTelemetry's conventions for databases. Keys are not told: they may be
 * secrets, and there are too many of them.
 *
 * @internal
 */
export const traced = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  { keyspace, method }: { readonly method: string; readonly keyspace?: string | undefined },
  system: string
): Effect.Effect<A, E, Exclude<R, ParentSpan>> =>
  Effect.withSpan(self, keyspace === undefined ? method : `${method} ${keyspace}`, {
    attributes: {
      "db.system.name": system,
      "db.operation.name": method,
      ...(keyspace === undefined ? {} : { "db.collection.name": keyspace })
    },
    captureStackTrace: false,
    kind: "client"
  })
