/**
 * What goes back that was taken out.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/**
 * For what puts something back that was taken out: it is all that is left to do, so its failure is told and no more.
 *
 * @internal
 */
export const noLoss = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.catchAllCause(
      self,
      (cause) => Effect.logError("what was taken out could not be put back, and is lost", cause)
    )
  )
