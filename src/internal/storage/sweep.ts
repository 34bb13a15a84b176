/**
 * Removing what is expired: in slices, so that nothing else waits for long, by hand or by a fiber in the background.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Keyspace, SweepOptions } from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { busyMillis, idleTurn, nextTurn, realMillis, sleepingIdly } from "./compat.js"
import { durationSetting } from "./duration.js"
import { failing } from "./fault.js"
import { metrics, record } from "./metrics.js"
import { toLimit } from "./range.js"
import { outsideTransactions } from "./transactions.js"

type AnyKeyspace = Keyspace | Keyspace<Uint8Array>

/** A slice is to keep the event loop busy for no more than about so many milliseconds, during which nothing else runs. */
const longestSlice = 6
const firstSlice = 16

/** Slices grow while they are quick, and shrink when they are not: large values take longer to remove. */
const nextSlice = (limit: number, batchSize: number, millis: number): number =>
  millis > longestSlice ? Math.max(1, limit >> 1) : millis < longestSlice / 2 ? Math.min(batchSize, limit * 2) : limit

const toBatchSize = ({ batchSize = 64 }: SweepOptions): number => Math.max(1, toLimit(batchSize))

const sweeping = (
  keyspace: AnyKeyspace,
  pause: Effect.Effect<void>,
  options: SweepOptions = {}
): Effect.Effect<number, StorageError> => {
  const most = toBatchSize(options)
  const slice = (limit: number, before: number): Effect.Effect<number, StorageError> =>
    Effect.suspend(() => {
      // The time that a server takes holds nobody up.
      const start = busyMillis()
      return Effect.flatMap(keyspace.removeExpired({ limit }), ({ more, removed }) =>
        more
          ? Effect.zipRight(pause, slice(nextSlice(limit, most, busyMillis() - start), before + removed))
          : Effect.succeed(before + removed))
    })
  return Effect.suspend(() => {
    const start = realMillis()
    return Effect.map(slice(Math.min(most, firstSlice), 0), (removed) => {
      record(metrics.sweepDuration, keyspace.name, realMillis() - start)
      return removed
    })
  })
}

/**
 * Removes all that is expired of a keyspace and tells how much that was. Other fibers and timers run between slices.
 *
 * @internal
 */
export const sweep = (keyspace: AnyKeyspace, options?: SweepOptions): Effect.Effect<number, StorageError> =>
  sweeping(keyspace, nextTurn, options)

/**
 * The sweeper of a Storage, started with the returned function and started anew if that is called again. It keeps no
 * process alive.
 *
 * @internal
 */
export const makeSweeper = (
  keyspaces: Effect.Effect<ReadonlyArray<AnyKeyspace>>
): Effect.Effect<(options: SweepOptions) => Effect.Effect<void, StorageError>, never, Scope.Scope> =>
  Effect.gen(function*() {
    // Programs that end before the first interval has passed do their part at the end: a slice of each keyspace.
    let limit = 0
    yield* Effect.addFinalizer(() =>
      limit === 0
        ? Effect.void
        : Effect.ignore(Effect.flatMap(keyspaces, Effect.forEach((keyspace) => keyspace.removeExpired({ limit }))))
    )
    const fiber = yield* FiberHandle.make<void, StorageError>()
    return (options) =>
      Effect.flatMap(
        Effect.mapError(
          durationSetting("the interval of the sweeper", options.interval ?? "1 minute", 1),
          failing("open")
        ),
        (interval) => {
          const each = (keyspace: AnyKeyspace) =>
            Effect.catchIf(
              sweeping(keyspace, idleTurn, options),
              (error) => error.reason !== "ReadOnly",
              (error) => Effect.logWarning("effect-kv: a sweep of expired entries failed", error)
            )
          const all = Effect.flatMap(keyspaces, Effect.forEach(each, { discard: true }))
          // Ends for good where nothing can be written: there is no need to sweep.
          const ever = Effect.delay(Effect.asVoid(Effect.repeat(all, Schedule.spaced(interval))), interval)
          limit = toBatchSize(options)
          return Effect.asVoid(FiberHandle.run(fiber, outsideTransactions(sleepingIdly(ever))))
        }
      )
  })
