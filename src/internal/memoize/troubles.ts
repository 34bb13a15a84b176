/**
 * What becomes of a call when the storage fails, or something does not fit.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { CodecError } from "../../Codec.js"
import type { Trouble } from "../../Memoize.js"
import type { Counts } from "./metrics.js"

/**
 * How calls fail by it, if they do.
 *
 * @internal
 */
export interface Failing<X> {
  readonly onMisfit?: ((error: CodecError) => Effect.Effect<never, X>) | undefined
  readonly onTrouble?: ((error: Trouble) => Effect.Effect<never, X>) | undefined
}

/** @internal */
export interface Troubles<X> {
  /** What is done instead, if the call does not fail. It is counted, and told once in the log. */
  readonly tolerate: <A, E>(error: Trouble, otherwise: Effect.Effect<A, E>) => Effect.Effect<A, E | X>
  /** Something has gone well: what comes next is told again. */
  readonly over: () => void
}

/** @internal */
export const makeTroubles = <X>(name: string, count: Counts, { onTrouble }: Failing<X>): Troubles<X> => {
  let isTold = false
  return {
    over: () => {
      isTold = false
    },
    tolerate: (error, otherwise) => {
      if (onTrouble !== undefined) return onTrouble(error)
      count.errors(1)
      if (isTold) return otherwise
      isTold = true
      const told = Effect.logWarning(
        `effect-kv: a call of the memoised function ${name} goes through and is not stored; ` +
          `more of this is not told before one is stored. ${error.message}`
      )
      return Effect.zipRight(told, otherwise)
    }
  }
}
