/**
 * How keys of our own making are read and written.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { InvalidKey, StorageError } from "../../StorageError.js"

/**
 * For keys of our own making, which every engine keeps.
 *
 * @internal
 */
export const soundly = <A, R>(
  self: Effect.Effect<A, StorageError | InvalidKey, R>
): Effect.Effect<A, StorageError, R> => Effect.catchTag(self, "InvalidKey", Effect.die)
