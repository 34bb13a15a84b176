/**
 * Where a call is made: in a transaction, round what is stored, or neither. The context says so, and is looked through
 * once.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { inTransaction } from "../storage/transactions.js"

/** @internal */
export type Situation = "plain" | "bypassed" | "transaction"

const Bypass = Context.GenericTag<true>("effect-kv/internal/Bypass")

const known = new WeakMap<ReadonlyMap<string, unknown>, Situation>()

/** @internal */
export const situationOf = (context: Context.Context<never>): Situation => {
  const map = context.unsafeMap
  let situation = known.get(map)
  if (situation === undefined) {
    situation = map.has(Bypass.key) ? "bypassed" : inTransaction(context) ? "transaction" : "plain"
    known.set(map, situation)
  }
  return situation
}

/** @internal */
export const bypassing = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Bypass, true)

/**
 * Does what is to be done where calls are memoised, or goes around.
 *
 * @internal
 */
export const memoisedWhere = <A, E>(
  isEnabled: Effect.Effect<boolean> | undefined,
  around: () => Effect.Effect<A, E>,
  memoised: (situation: Situation, fiber: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) => {
    const situation = situationOf(fiber.currentContext)
    return situation === "bypassed"
      ? around()
      : isEnabled === undefined
      ? memoised(situation, fiber)
      : Effect.flatMap(isEnabled, (on) => on ? memoised(situation, fiber) : around())
  })
