/**
 * Queues: a record for each item, whose key tells its priority and its number, so that the first in order is the next. The
 * record under the name of the queue counts the numbers.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Failure } from "../../../KtTransport.js"
import * as Storage from "../../../Storage.js"
import { turnFirst, withNow } from "../../storage/compat.js"
import { afterCommit } from "../../storage/service.js"
import { inTransaction } from "../../storage/transactions.js"
import { bytesOf, equal, latin1, utf8 } from "../bytes.js"
import { arrivalsIn, type Waiter } from "../conditions.js"
import { type Bytes, type Database, together } from "../databases.js"
import { never } from "../expiry.js"
import {
  greatestNumber,
  idIn,
  idOf,
  isItemOf,
  lastWithScore,
  prefixOf,
  queueKey,
  scoreIn,
  withOtherId
} from "../itemKeys.js"
import { ordinals } from "../ordinals.js"
import { noLoss } from "../putBack.js"
import { incrementDouble } from "../records.js"
import { type Context, define, fromOrdinals, num, type Pairs, type Procedure, refuse } from "./define.js"

const idName = utf8("id")

/** How many items are looked at in one go. */
const page = 256

/** The items that have at least a score. */
const items = (queue: Uint8Array, least: number | undefined): Storage.Range<Uint8Array> =>
  least === undefined ? { prefix: prefixOf(queue) } : { from: prefixOf(queue), through: lastWithScore(queue, least) }

/** How many items are meant: below zero, or with a fraction, all. */
const countOf = (n: number | undefined, unsaid: number): number =>
  n === undefined ? unsaid : n < 0 || !Number.isInteger(n) ? Infinity : n

/**
 * Counts as many numbers further, from 1 on, and writes the items that have them, at once; answers with the last.
 *
 * @internal
 */
export const withIds = (
  keyspace: Bytes,
  counter: Uint8Array,
  count: number,
  itemsOf: (last: number) => ReadonlyArray<Storage.Entry<Uint8Array>>
): Effect.Effect<number, Failure> =>
  incrementDouble(
    keyspace,
    counter,
    count,
    0,
    never,
    (last) => Number.isInteger(last) && last >= count && last <= greatestNumber ? itemsOf(last) : undefined
  )

/**
 * Puts items back that were taken out: at their places, or with new numbers if those were given anew meanwhile.
 */
const putBack = (
  context: Pick<Context<never>, "database" | "keyspace">,
  queue: Uint8Array,
  entries: ReadonlyArray<Storage.Entry<Uint8Array>>
): Effect.Effect<void, Failure> => {
  const { database, keyspace } = context
  return Effect.zipRight(
    together(
      [context.database],
      Effect.forEach(entries, ({ expiresAt, key, value }) =>
        Effect.flatMap(
          keyspace.modify(key, (found) =>
            Option.isNone(found) ? [true, Storage.put(value, expiresAt)] : [false, Storage.keep]),
          (isBack) =>
            isBack ? Effect.void : withIds(keyspace, queue, 1, (id) => [{
              expiresAt,
              key: withOtherId(key, idOf(id)),
              value
            }])
        ), { discard: true })
    ),
    arrived(database, queue, entries.length)
  )
}

/** Tells those who wait, when all is written. */
const arrived = (database: Database, queue: Uint8Array, count: number): Effect.Effect<void> =>
  afterCommit(
    database.storage,
    () => void arrivalsIn(database.storage).signal(arrivalOf(database, queue), count > 1)
  )

/** The name under which they wait who want the next item. */
const arrivalOf = ({ keyspace }: Database, queue: Uint8Array): string => `${keyspace.name}\t${latin1(queue)}`

/** Adds values with their scores, in order; answers with the last number. */
const add = (
  { database, keyspace }: { readonly database: Database; readonly keyspace: Bytes },
  queue: Uint8Array,
  values: ReadonlyArray<{ readonly score: number; readonly value: Uint8Array }>
): Effect.Effect<number, Failure> =>
  Effect.tap(
    withIds(keyspace, queue, values.length, (last) =>
      values.map(({ score, value }, i) => ({
        expiresAt: undefined,
        key: queueKey(queue, score, idOf(last - values.length + 1 + i)),
        value
      }))),
    () => arrived(database, queue, values.length)
  )

type QueueContext = Pick<Context<"min_score" | "keys">, "database" | "given" | "keyspace" | "number">

const range = (
  context: Pick<Context<"min_score">, "number">,
  queue: Uint8Array,
  reverse: boolean
): Storage.Range<Uint8Array> => ({
  ...items(queue, context.number("min_score")),
  reverse
})

const values = (entries: ReadonlyArray<Storage.Entry<Uint8Array>>): Pairs =>
  ordinals(entries.map(({ value }) => bytesOf(value)))

/**
 * Items that were taken out: by their ordinals, or by their keys, for one who may have to put them back.
 *
 * @internal
 */
export const taken = (entries: ReadonlyArray<Storage.Entry<Uint8Array>>, keys: Uint8Array | undefined): Pairs =>
  keys === undefined ? values(entries) : entries.map(({ key, value }) => [key, bytesOf(value)])

const reading = (name: string, removes: boolean, reverse: boolean): Procedure =>
  define(name, { optional: ["n", "min_score", "keys"], required: ["queue"] }, ({ queue }, context) => {
    const count = countOf(context.number("n"), 1)
    const { given, keyspace } = context
    const bounds = range(context, queue, reverse)
    return removes
      ? Effect.map(keyspace.take(bounds, count), (entries) => taken(entries, given("keys")))
      : Effect.map(keyspace.peek(bounds, count), values)
  })

/** The keys of items that have a value, in order: at most so many. */
const equalTo = (
  { keyspace }: { readonly keyspace: Bytes },
  range: Storage.Range<Uint8Array>,
  value: Uint8Array,
  count: number,
  isWanted: (key: Uint8Array) => boolean
): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> => {
  const next = (
    found: Array<Uint8Array>,
    after: Uint8Array | undefined
  ): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> =>
    Effect.flatMap(keyspace.peek({ ...range, after }, page), (entries) => {
      for (const entry of entries) {
        if (found.length < count && equal(bytesOf(entry.value), value) && isWanted(entry.key)) found.push(entry.key)
      }
      const last = entries.at(-1)
      return entries.length < page || last === undefined || found.length >= count
        ? Effect.succeed(found)
        : next(found, last.key)
    })
  // Anew each time that it is run: a transaction may run it again.
  return Effect.suspend(() => next([], undefined))
}

const removing = (name: string, reverse: boolean): Procedure =>
  define(name, { optional: ["n", "min_score"], required: ["queue", "data"] }, ({ data, queue }, context) =>
    together(
      [context.database],
      Effect.map(
        Effect.flatMap(
          equalTo(context, range(context, queue, reverse), data, countOf(context.number("n"), Infinity), () => true),
          context.keyspace.removeMany
        ),
        num
      )
    ))

/** The first pause between two looks at a queue that others may add to, and the longest, in milliseconds. */
const pauses = { first: 100, growth: 1.15, longest: 1000 }

/**
 * Waits for an item. An interruption while it is taken out has it put back, at its place.
 */
const blockingPop = (queue: Uint8Array, timeout: number, context: QueueContext): Effect.Effect<Pairs, Failure> => {
  const { database, given, keyspace, number } = context
  const bounds = range(context, queue, false)
  const arrivals = arrivalsIn(database.storage)
  const arrival = arrivalOf(database, queue)
  const isChoosy = number("min_score") !== undefined
  /** Leaves its place; a signal that it did not use is for the next. */
  const leave = (waiter: Waiter): void => {
    arrivals.leave(waiter)
    arrivals.passOn(waiter)
  }
  return Effect.uninterruptibleMask((restore) => {
    /** `woken`: by what it was told to look again. */
    const attempt = (deadline: number, pause: number, woken: Waiter | undefined): Effect.Effect<Pairs, Failure> =>
      // What is taken out is on its way to the caller until then, without a turn in which it could be interrupted.
      Effect.flatMap(turnFirst, () => {
        // It waits before it looks: what comes in between is not missed.
        const waiter = arrivals.enter(arrival)
        const leaving = () => Effect.sync(() => leave(waiter))
        const failing = () =>
          Effect.sync(() => {
            leave(waiter)
            if (woken !== undefined) arrivals.passOn(woken)
          })
        return Effect.flatMap(Effect.onError(keyspace.take(bounds, 1), failing), (entries) => {
          if (entries.length === 0) {
            // What is too low for this one, another may want.
            if (woken !== undefined && isChoosy) arrivals.passOn(woken)
            return withNow((now) => {
              const millis = Math.min(deadline - now, pause)
              // `deadline` may be no number: then it does not wait.
              if (!(millis > 0)) return Effect.as(leaving(), [])
              return Effect.flatMap(Effect.onInterrupt(restore(arrivals.await(waiter, millis)), leaving), () => {
                arrivals.leave(waiter)
                return attempt(deadline, Math.min(pause * pauses.growth, pauses.longest), waiter)
              })
            })
          }
          leave(waiter)
          return Effect.as(
            Effect.onInterrupt(restore(Effect.void), () => noLoss(putBack(context, queue, entries))),
            taken(entries, given("keys"))
          )
        })
      })
    // In a transaction nobody else can add what it waits for.
    return Effect.flatMap(
      Effect.context<never>(),
      (context) => withNow((now) => attempt(inTransaction(context) ? now : now + timeout, pauses.first, undefined))
    )
  })
}

/** @internal */
export const queues: ReadonlyArray<Procedure> = [
  define("queue_add", { optional: ["score"], required: ["queue", "data"] }, ({ data, queue }, context) =>
    Effect.map(
      add(context, queue, [{ score: context.number("score") ?? 0, value: data }]),
      (id) => [[idName, utf8(String(id))]]
    )),
  define("queue_madd", { optional: ["score"], required: ["queue"] }, ({ queue }, context) => {
    const score = context.number("score") ?? 0
    const all = fromOrdinals(context.data)
    return all.length === 0
      ? Effect.succeed(num(0))
      : Effect.as(add(context, queue, all.map((value) => ({ score, value }))), num(all.length))
  }),
  reading("queue_pop", true, false),
  reading("queue_rpop", true, true),
  reading("queue_peek", false, false),
  reading("queue_rpeek", false, true),
  define("queue_bpop", { optional: ["timeout", "min_score", "keys"], required: ["queue"] }, ({ queue }, context) => {
    const seconds = context.number("timeout")
    return blockingPop(queue, seconds === undefined ? Infinity : seconds * 1000, context)
  }),
  removing("queue_remove", false),
  removing("queue_rremove", true),
  define("queue_set_score", { optional: ["n"], required: ["queue", "data", "score"] }, ({ data, queue }, context) => {
    const score = context.number("score") ?? 0
    const { keyspace } = context
    const wanted = queueKey(queue, score, "")
    const changed = together(
      [context.database],
      Effect.flatMap(
        equalTo(
          context,
          items(queue, undefined),
          data,
          countOf(context.number("n"), Infinity),
          (key) => !equal(key.subarray(0, wanted.length), wanted)
        ),
        (keys) =>
          Effect.as(
            Effect.zipRight(
              keyspace.removeMany(keys),
              keyspace.setMany(keys.map((key) => ({
                expiresAt: undefined,
                key: queueKey(queue, score, idIn(key)),
                value: data
              })))
            ),
            num(keys.length)
          )
      )
    )
    // Somebody may wait for one with that score.
    return Effect.tap(changed, () => arrived(context.database, queue, Infinity))
  }),
  define(
    "queue_transfer",
    { optional: ["n"], required: ["queue", "dest"] },
    ({ dest, queue }, context) =>
      equal(queue, dest)
        ? refuse("queue_transfer", "a queue cannot be transferred to itself; name another one")
        : together(
          [context.database],
          Effect.flatMap(
            context.keyspace.take(items(queue, undefined), countOf(context.number("n"), 1)),
            (entries) =>
              entries.length === 0 ? Effect.succeed([]) : Effect.as(
                add(
                  context,
                  dest,
                  entries.map(({ key, value }) => ({ score: scoreIn(queue, key), value: bytesOf(value) }))
                ),
                values(entries)
              )
          )
        )
  ),
  // Not of the original: for who has taken items out, with their keys, and cannot use them.
  define("queue_restore", { required: ["queue"] }, ({ queue }, context) =>
    Effect.as(
      putBack(
        context,
        queue,
        context.data.flatMap(([key, value]) => isItemOf(queue, key) ? [{ expiresAt: undefined, key, value }] : [])
      ),
      []
    )),
  define(
    "queue_size",
    { required: ["queue"] },
    ({ queue }, { keyspace }) => Effect.map(keyspace.stat(items(queue, undefined)), ({ entries }) => num(entries))
  ),
  define("queue_clear", { required: ["queue"] }, ({ queue }, context) =>
    together(
      [context.database],
      Effect.zipLeft(
        Effect.map(context.keyspace.clear(items(queue, undefined)), num),
        context.keyspace.remove(queue)
      )
    ))
]
