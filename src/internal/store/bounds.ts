/**
 * How much is kept of a cache, and what goes when that is too much. Beside the answers there is a keyspace that has them
 * in the order in which they were stored, or used: `t` and a time, then the key. `k` and the key tells the time and the
 * size. These rows follow the answers and may be wrong for a moment, or for ever after a crash: they are compared when
 * something is to go, and what has none is added then.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Entry, Keyspace, Stat, Storage, Value } from "../../Storage.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { realMillis, sleepingIdly, withNow } from "../storage/compat.js"
import { outsideTransactions } from "../storage/transactions.js"
import { soundly } from "./soundly.js"

/** @internal */
export interface Settings {
  readonly maxEntries: number
  readonly maxBytes: number
  /** Whether being used counts as being stored. */
  readonly countsUse: boolean
}

/**
 * How long a count is trusted, in times as long as it took to count: what other processes store meanwhile, and what
 * expires, goes unnoticed.
 */
const trustFactor = 100
/** How many uses are remembered until they are written. */
const mostUses = 10_000
const usesEvery = Duration.seconds(1)
/** How many are looked at in one go. */
const slice = 256

/**
 * What is kept: how much there is of it, all of it, and how some of it goes.
 *
 * @internal
 */
export interface Kept {
  readonly entries: Stream.Stream<Placed, StorageError | InvalidKey>
  /** The keyspace for the order. */
  readonly order: string
  /** Tells how many of them there were. */
  readonly removeMany: (keys: ReadonlyArray<string>) => Effect.Effect<number, StorageError | InvalidKey>
  readonly stat: Effect.Effect<Stat, StorageError | InvalidKey>
}

/**
 * The entries of a keyspace.
 *
 * @internal
 */
export const keptIn = (keyspace: Keyspace, order: string): Kept => ({
  entries: Stream.map(keyspace.entries(), ({ expiresAt, key, value }) => ({
    bytes: sizeOf(key, value),
    expiresAt,
    key
  })),
  order,
  removeMany: (keys) => keyspace.removeMany(keys),
  stat: keyspace.stat()
})

/**
 * An answer that was stored.
 *
 * @internal
 */
export interface Placed {
  readonly bytes: number
  readonly expiresAt: number | undefined
  readonly key: string
}

/** @internal */
export interface Bounds {
  /** Whether an answer of that size is kept at all. */
  readonly admits: (bytes: number) => boolean
  /** Counts an answer that was stored, in place of one of so many bytes, or of none. */
  readonly counted: (bytes: number, replaced: number | undefined) => void
  /** Takes what was stored into the order, and makes room if there is too much; tells how many answers went. */
  readonly settled: (stored: ReadonlyArray<Placed>) => Effect.Effect<number, StorageError>
  /** An answer was used. Costs nothing until it is written. */
  readonly used: (key: string, now: number) => void
  /** An answer was removed. */
  readonly removed: (key: string) => Effect.Effect<void, StorageError>
  readonly cleared: Effect.Effect<void, StorageError>
}

let ticks = 0

/** Times that are not equal, and are in the order of their text. */
const timeOf = (now: number): string => {
  ticks = (ticks + 1) % 1_000_000
  return `${String(Math.max(0, Math.floor(now))).padStart(15, "0")}${String(ticks).padStart(6, "0")}`
}
const timeLength = 21

const byKey = (key: string): string => `k${key}`
const byTime = (time: string, key: string): string => `t${time}${key}`

interface Row {
  readonly bytes: number
  readonly time: string
}

/** @internal */
export const sizeOf = (key: string, value: Value): number => Buffer.byteLength(key) + Buffer.byteLength(value)

const parse = (entry: Option.Option<Entry> | undefined): Row | undefined => {
  if (entry === undefined || Option.isNone(entry)) return undefined
  const [time = "", bytes = ""] = String(entry.value.value).split(" ")
  return { bytes: Number(bytes), time }
}

/** @internal */
export const open = (
  storage: Storage["Type"],
  kept: Kept,
  { countsUse, maxBytes, maxEntries }: Settings
): Effect.Effect<Bounds, StorageError, Scope.Scope> =>
  Effect.gen(function*() {
    const order = yield* storage.keyspace(kept.order)
    const turn = yield* Effect.makeSemaphore(1)
    const uses = new Map<string, number>()
    /** What there is, as far as it is known: as it was counted, and what this process has done since. */
    let entries = 0
    let bytes = 0
    let countedAt = -Infinity
    let trust = 0

    const count: Effect.Effect<void, StorageError> = Effect.suspend(() => {
      const before = { bytes, entries }
      return Effect.map(soundly(kept.stat), (stat) => {
        // What was stored while it was counted may have been missed.
        entries = stat.entries + Math.max(0, entries - before.entries)
        bytes = stat.bytes + Math.max(0, bytes - before.bytes)
      })
    })
    /** Has the count be as it is, and the order complete. */
    const check = (now: number): Effect.Effect<void, StorageError> =>
      Effect.suspend(() => {
        const start = realMillis()
        return Effect.flatMap(count, () => {
          countedAt = now
          trust = trustFactor * (realMillis() - start)
          return isTooMuch() ? adoptMissing : Effect.void
        })
      })
    const isTooMuch = (): boolean => entries > maxEntries || bytes > maxBytes

    const rowsOf = (keys: ReadonlyArray<string>) => soundly(order.getMany(keys.map(byKey)))

    /** Gives them a new place in the order. */
    const place = (
      placed: ReadonlyArray<Placed & { readonly time: string }>
    ): Effect.Effect<void, StorageError> =>
      Effect.flatMap(rowsOf(placed.map(({ key }) => key)), (before) =>
        soundly(Effect.zipRight(
          order.setMany(placed.flatMap(({ bytes, expiresAt, key, time }) => [
            { expiresAt, key: byKey(key), value: `${time} ${bytes}` },
            { expiresAt, key: byTime(time, key), value: "" }
          ])),
          order.removeMany(placed.flatMap(({ key }, i) => {
            const row = parse(before[i])
            return row === undefined ? [] : [byTime(row.time, key)]
          }))
        )))

    const writeUses: Effect.Effect<void, StorageError> = Effect.suspend(() => {
      const batch = [...uses]
      uses.clear()
      return batch.length === 0
        ? Effect.void
        : Effect.flatMap(rowsOf(batch.map(([key]) => key)), (rows) =>
          place(batch.flatMap(([key, now], i) => {
            const row = parse(rows[i])
            const expiresAt = Option.getOrUndefined(rows[i] ?? Option.none())?.expiresAt
            return row === undefined ? [] : [{ bytes: row.bytes, expiresAt, key, time: timeOf(now) }]
          })))
    })

    /** Puts what is not in the order, of an older version or a process that was killed, before all others. */
    const adopt = kept.entries.pipe(
      Stream.map((placed) => ({ ...placed, time: timeOf(0) })),
      Stream.grouped(slice),
      Stream.runForEach((chunk) => {
        const found = Chunk.toReadonlyArray(chunk)
        return Effect.flatMap(rowsOf(found.map(({ key }) => key)), (rows) => {
          const times = found.map(({ key }, i) => byTime(parse(rows[i])?.time ?? "", key))
          return Effect.flatMap(
            order.getMany(times),
            (placed) => place(found.filter((_, i) => Option.isNone(placed[i] ?? Option.none())))
          )
        })
      })
    )
    const adoptMissing = Effect.flatMap(
      soundly(order.stat({ prefix: "t" })),
      (placed) => placed.entries < entries ? soundly(adopt) : Effect.void
    )

    const removeRows = (rows: ReadonlyArray<{ readonly key: string; readonly time: string }>) =>
      soundly(order.removeMany(rows.flatMap(({ key, time }) => [byKey(key), byTime(time, key)])))

    /** Removes the first ones of the order until there is not too much; tells how many went. */
    const makeRoom: Effect.Effect<number, StorageError> = Effect.gen(function*() {
      let removed = 0
      while (isTooMuch()) {
        const limit = bytes > maxBytes ? 1 : Math.min(slice, Math.ceil(entries - maxEntries))
        const first = Chunk.toReadonlyArray(yield* Stream.runCollect(order.keys({ limit, prefix: "t" }))).map((
          key
        ) => ({
          key: key.slice(1 + timeLength),
          time: key.slice(1, 1 + timeLength)
        }))
        if (first.length === 0) break
        const rows = (yield* rowsOf(first.map(({ key }) => key))).map(parse)
        const isLast = (_: unknown, i: number): boolean => rows[i]?.time === first[i]?.time
        const gone = first.filter(isLast)
        const went = yield* kept.removeMany(gone.map(({ key }) => key))
        // After the answers: whoever is killed in between leaves rows that are found again, and not answers.
        yield* removeRows(gone)
        yield* order.removeMany(first.filter((_, i) => !isLast(_, i)).map(({ key, time }) => byTime(time, key)))
        removed += went
        if (went === gone.length) {
          entries -= went
          bytes -= rows.filter(isLast).reduce((sum, row) => sum + (row?.bytes ?? 0), 0)
        } else yield* count
      }
      return removed
    }).pipe(soundly)

    if (countsUse) {
      yield* Effect.addFinalizer(() => Effect.ignore(writeUses))
      yield* Effect.forkScoped(outsideTransactions(sleepingIdly(
        Effect.repeat(Effect.ignore(Effect.delay(turn.withPermits(1)(writeUses), usesEvery)), Schedule.forever)
      )))
    }

    return {
      admits: (size) => size <= maxBytes,
      cleared: Effect.suspend(() => {
        entries = 0
        bytes = 0
        uses.clear()
        return Effect.asVoid(soundly(order.clear()))
      }),
      removed: (key) =>
        Effect.flatMap(rowsOf([key]), ([stored]) => {
          const row = parse(stored)
          if (row === undefined) return Effect.void
          entries -= 1
          bytes -= row.bytes
          return Effect.asVoid(removeRows([{ key, time: row.time }]))
        }),
      counted: (size, replaced) => {
        entries += replaced === undefined ? 1 : 0
        bytes += size - (replaced ?? 0)
      },
      settled: (stored) =>
        withNow((now) =>
          turn.withPermits(1)(Effect.suspend(() => {
            const isCountDue = now - countedAt >= trust || now < countedAt
            // What was used before comes before what was stored now.
            return (isTooMuch() ? writeUses : Effect.void).pipe(
              Effect.zipRight(
                Effect.suspend(() => place(stored.map((row) => ({ ...row, time: timeOf(now) }))))
              ),
              Effect.zipRight(isCountDue ? check(now) : Effect.void),
              Effect.zipRight(makeRoom)
            )
          }))
        ),
      used: (key, now) => {
        if (!countsUse || (uses.size >= mostUses && !uses.has(key))) return
        // In the order of their last use.
        uses.delete(key)
        uses.set(key, now)
      }
    }
  })
