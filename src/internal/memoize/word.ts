/**
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * A word that nobody else says: who holds a lease, or which invalidation it was.
 *
 * @internal
 */
export const word: Effect.Effect<string> = Effect.map(
  Effect.all([Random.next, Random.next]),
  ([a, b]) => `${a.toString(36).slice(2)}${b.toString(36).slice(2)}`
)
