/**
 * Where a call is made: in a transaction, round what is stored, or neither. The context says so, and is looked through
 * once.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
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
