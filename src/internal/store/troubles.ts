/**
 * What becomes of work that goes on without the storage when that fails: a cache must not break what it is for.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** @internal */
export interface Troubles<T, X> {
  /** What is done instead, if the trouble is not a failure. It is counted, and told once in the log. */
  readonly tolerate: <A, E, R>(error: T, otherwise: Effect.Effect<A, E, R>) => Effect.Effect<A, E | X, R>
  /** Something has gone well: what comes next is told again. */
  readonly over: () => void
}

/**
 * `what` completes the sentence that is told. With `failing` nothing is tolerated.
 *
 * @internal
 */
export const makeTroubles = <T extends { readonly message: string }, X = never>(
  what: string,
  count: (error: T) => void,
  failing?: ((error: T) => Effect.Effect<never, X>) | undefined
): Troubles<T, X> => {
  let isTold = false
  return {
    over: () => {
      isTold = false
    },
    tolerate: (error, otherwise) => {
      if (failing !== undefined) return failing(error)
      count(error)
      if (isTold) return otherwise
      isTold = true
      const told = Effect.logWarning(
        `effect-kv: ${what}; more of this is not told before one is stored. ${error.message}`
      )
      return Effect.zipRight(told, otherwise)
    }
  }
}
