/**
 * Which transactions a fiber is in, whosever they are: its context says so.
 *
 * @internal
 */
import { TransactionConnection } from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { ParentSpan } from "effect/Tracer"

const internal = "effect-kv/internal/"
const prefix = `${internal}Transaction/`

let tags = 0

/**
 * A tag for the transactions of one client, so that two databases do not mix.
 *
 * @internal
 */
export const makeTag = <Level>(): Context.Tag<Level, Level> => Context.GenericTag<Level>(`${prefix}${++tags}`)

const isTransaction = (key: string): boolean => key === TransactionConnection.key || key.startsWith(prefix)

/**
 * Whether a transaction of any client is open: the fiber then holds what another one may have to wait for.
 *
 * @internal
 */
export const inTransaction = (context: Context.Context<never>): boolean => {
  for (const key of context.unsafeMap.keys()) if (isTransaction(key)) return true
  return false
}

const without = <R>(context: Context.Context<R>, isOut: (key: string) => boolean): Context.Context<R> =>
  Context.unsafeMake(new Map(Array.from(context.unsafeMap).filter(([key]) => !isOut(key))))

/**
 * What is taken when a store is built, to be used ever after: not the transaction, the span and the like in which that
 * was.
 *
 * @internal
 */
export const lastingContext = <R>(): Effect.Effect<Context.Context<R>, never, R> =>
  Effect.map(
    Effect.context<R>(),
    (context) => without(context, (key) => isTransaction(key) || key === ParentSpan.key || key.startsWith(internal))
  )

/**
 * Has a background fiber belong to no transaction: it outlives the one in which it may have been started.
 *
 * @internal
 */
export const outsideTransactions = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(self, (context: Context.Context<R>) => without(context, isTransaction))
