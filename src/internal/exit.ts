/**
 * Effects that may be done already. Codecs that need no asynchronous work return an `Exit`, and so does what is made of
 * them.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Looks at a result that may be there already.
 *
 * @internal
 */
export const isDone = <A, E, R>(self: Effect.Effect<A, E, R>): self is Effect.Effect<A, E, R> & Exit.Exit<A, E> =>
  Exit.isExit(self)

/**
 * `Effect.flatMap`, which stays an `Exit` if both parts are.
 *
 * @internal
 */
export const andThen = <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> =>
  isDone(self)
    ? Exit.isSuccess(self) ? f(self.value) : Exit.failCause(self.cause)
    : Effect.flatMap(self, f)
