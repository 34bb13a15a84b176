/**
 * The store of an HTTP cache. The responses to one URL are one row, and so they change together; bodies are elsewhere
 * (`bodies.ts`), and do not change.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Entry, HttpCacheStore, NewResponse, Options, StoredResponse, WriteOptions } from "../../HttpCacheStore.js"
import * as Storage from "../../Storage.js"
import { InvalidKey, type StorageError } from "../../StorageError.js"
import { isSystemClock, sleepingIdly, withNow } from "../storage/compat.js"
import { durationSetting, shown } from "../storage/duration.js"
import { failing, Fault } from "../storage/fault.js"
import { inTransaction, outsideTransactions } from "../storage/transactions.js"
import * as anyText from "../store/anyText.js"
import * as bounded from "../store/bounds.js"
import { soundly } from "../store/soundly.js"
import { makeBodies, mostEntryBytes, tooLarge } from "./bodies.js"
import { clockSkew } from "./evaluate.js"
import { parseRow, printRow, rowExpiry } from "./row.js"
import { isSameVariant } from "./vary.js"

/** How many are looked at in one go. */
const slice = 64
/** What a key may have, so that the keys made from it are no longer than those of the storage. */
const longestKey = 900

type Trouble = StorageError | InvalidKey
type Responses = ReadonlyArray<StoredResponse>

const tagKey = (tag: string, key: string): string => `${anyText.keyOf(tag)} ${key}`

/** What is under a key, in bytes. */
const sizeOf = (key: string, value: Storage.Value, responses: Responses): number =>
  bounded.sizeOf(key, value) + responses.reduce((sum, { bytes }) => sum + bytes, 0)

/** What a change has made of a row. */
interface Revised {
  readonly after: Responses
  readonly before: Responses
  readonly size: number
  readonly sizeBefore: number | undefined
}

const positive = (name: string, value: number | undefined, otherwise: number): Effect.Effect<number, Fault> =>
  value === undefined || (typeof value === "number" && value > 0)
    ? Effect.succeed(value ?? otherwise)
    : Effect.fail(new Fault("InvalidValue", `${name} is above zero, not ${shown(value)}`))

/** @internal */
export const make = (
  options: Options = {}
): Effect.Effect<HttpCacheStore["Type"], StorageError, Storage.Storage | Scope.Scope> =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const name = options.name ?? "default"
    const { maxBytes, maxEntries, maxEntryBytes, maxVariants, sweepInterval } = yield* Effect.mapError(
      Effect.all({
        maxBytes: positive("maxBytes", options.maxBytes, Infinity),
        maxEntries: positive("maxEntries", options.maxEntries, Infinity),
        maxEntryBytes: positive("maxEntryBytes", options.maxEntryBytes, mostEntryBytes),
        maxVariants: positive("maxVariants", options.maxVariants, 16),
        sweepInterval: durationSetting("sweepInterval", options.sweepInterval || "1 minute", 1)
      }),
      failing("HttpCacheStore.layer")
    )
    const rows = yield* storage.keyspace(`http ${name}`)
    const byTag = yield* storage.keyspace(`http:tags ${name}`)
    const bodies = makeBodies(yield* storage.keyspace(`http:bodies ${name}`), Math.min(maxEntryBytes, maxBytes))
    const onDamaged = (key: string): Effect.Effect<void> => options.onDamaged?.(key) ?? Effect.void

    const checked = <A, E, R>(key: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E | InvalidKey, R> =>
      typeof key === "string" && Buffer.byteLength(key) <= longestKey
        ? self
        : Effect.fail(
          new InvalidKey({
            issue: `it must be text of at most ${longestKey} bytes in UTF-8`,
            key,
            keyspace: rows.name
          })
        )

    const isLiving = (now: number) => ({ expiresAt }: StoredResponse): boolean =>
      expiresAt === undefined || expiresAt > now
    const living = (all: Responses, now: number): Responses =>
      all.every(isLiving(now)) ? all : all.filter(isLiving(now))

    /** What is no row of ours is removed. Its bodies go when their time comes. */
    const read = (key: string): Effect.Effect<Responses, Trouble> =>
      withNow((now) =>
        Effect.flatMap(rows.get(key), (row) => {
          if (Option.isNone(row)) return Effect.succeed([])
          const all = parseRow(key, row.value.value)
          return all === undefined
            ? Effect.as(Effect.zipRight(rows.remove(key), onDamaged(key)), [])
            : Effect.succeed(living(all, now))
        })
      )

    // --- What goes with a row ---

    const tagKeys = (key: string, all: Responses): ReadonlyArray<string> =>
      [...new Set(all.flatMap(({ tags }) => tags))].map((tag) => tagKey(tag, key))
    const retireBodies = (key: string, all: Responses) =>
      Effect.forEach(all, (response) => bodies.retire(key, response), { discard: true })
    const clearBodies = (key: string, all: Responses) =>
      Effect.forEach(all, ({ id }) => bodies.clear(key, id), { discard: true })

    /** Removes rows with all that goes with them, and tells how many there were. */
    const removeAll = (
      keys: ReadonlyArray<string>,
      drop: (key: string, all: Responses) => Effect.Effect<void, Trouble>
    ): Effect.Effect<number, Trouble> =>
      Effect.flatMap(rows.getMany(keys), (found) => {
        const gone = found.flatMap((row) =>
          Option.isNone(row) ? [] : [{ all: parseRow(row.value.key, row.value.value) ?? [], key: row.value.key }]
        )
        return Effect.zipLeft(
          rows.removeMany(keys),
          Effect.zipRight(
            byTag.removeMany(gone.flatMap(({ all, key }) => tagKeys(key, all))),
            Effect.forEach(gone, ({ all, key }) => drop(key, all), { discard: true })
          )
        )
      })

    const bounds = maxBytes === Infinity && maxEntries === Infinity ? undefined : yield* bounded.open(
      storage,
      {
        entries: Stream.map(rows.entries(), ({ expiresAt, key, value }) => ({
          bytes: sizeOf(key, value, parseRow(key, value) ?? []),
          expiresAt,
          key
        })),
        order: `http:order ${name}`,
        // Room is needed now.
        removeMany: (keys) => removeAll(keys, clearBodies),
        stat: Effect.zipWith(rows.stat(), bodies.bytes, (known, bytes) => ({
          bytes: known.bytes + bytes,
          entries: known.entries
        }))
      },
      { countsUse: true, maxBytes, maxEntries }
    )

    /** In a transaction nothing is counted: it may be rolled back. What is there is counted again now and then. */
    const within = (use: (bounds: bounded.Bounds) => Effect.Effect<void, Trouble>): Effect.Effect<void, Trouble> =>
      bounds === undefined
        ? Effect.void
        : Effect.withFiberRuntime((fiber) => inTransaction(fiber.currentContext) ? Effect.void : use(bounds))

    const settle = (key: string, { after, size, sizeBefore }: Revised) =>
      within((bounds) => {
        if (after.length === 0) return bounds.removed(key)
        bounds.counted(size, sizeBefore)
        return Effect.flatMap(
          bounds.settled([{ bytes: size, expiresAt: rowExpiry(after), key }]),
          (evicted) => evicted === 0 ? Effect.void : options.onEvicted?.(evicted) ?? Effect.void
        )
      })

    /** Changes a row, and what goes with it. */
    const change = (key: string, f: (responses: Responses) => Responses): Effect.Effect<Revised | undefined, Trouble> =>
      withNow((now) =>
        rows.modify(key, (row): readonly [Revised | undefined, Storage.Change] => {
          const value = Option.getOrUndefined(row)?.value
          const before = value === undefined ? [] : parseRow(key, value) ?? []
          const there = living(before, now)
          const changed = f(there)
          if (changed === there) return [undefined, Storage.keep]
          // The latest is looked at first.
          const after = [...changed].sort((a, b) => b.responseTime - a.responseTime)
          const sizeBefore = value === undefined ? undefined : sizeOf(key, value, before)
          if (after.length === 0) return [{ after, before, size: 0, sizeBefore }, Storage.remove]
          const text = printRow(key, after)
          return [{ after, before, size: sizeOf(key, text, after), sizeBefore }, Storage.put(text, rowExpiry(after))]
        })
      ).pipe(
        Effect.tap((revised) => {
          if (revised === undefined) return Effect.void
          const { after, before } = revised
          const kept = new Set(after.map(({ id }) => id))
          const tags = tagKeys(key, after)
          const untagged = tagKeys(key, before).filter((row) => !tags.includes(row))
          return retireBodies(key, before.filter(({ id }) => !kept.has(id))).pipe(
            Effect.zipRight(untagged.length === 0 ? Effect.void : byTag.removeMany(untagged)),
            Effect.zipRight(
              tags.length === 0
                ? Effect.void
                : byTag.setMany(tags.map((row) => ({ expiresAt: rowExpiry(after), key: row, value: "" })))
            )
          )
        })
      )

    /** The same, and counts it. With tags it is one transaction: who deletes a tag finds all of it or nothing. */
    const revise = (
      key: string,
      f: (responses: Responses) => Responses,
      isTagged = false
    ): Effect.Effect<void, Trouble> =>
      Effect.flatMap(
        isTagged ? storage.transaction(change(key, f), { retry: true }) : change(key, f),
        (revised) => revised === undefined ? Effect.void : settle(key, revised)
      )

    const removed = (keys: ReadonlyArray<string>): Effect.Effect<number, Trouble> =>
      Effect.zipLeft(
        removeAll(keys, retireBodies),
        within((bounds) => Effect.forEach(keys, (key) => bounds.removed(key), { discard: true }))
      )
    const without = (key: string, id: string) => revise(key, (all) => all.filter((response) => response.id !== id))

    /** Removes what begins so, in slices. */
    const deletePrefix = (prefix: string): Effect.Effect<number, Trouble> =>
      rows.keys({ prefix }).pipe(
        Stream.grouped(slice),
        Stream.runFoldEffect(0, (sum, keys) => Effect.map(removed(Chunk.toReadonlyArray(keys)), (count) => sum + count))
      )

    // --- Writing and reading ---

    /** Has the response take its place, unless there is a later one. */
    const commit = (key: string, stored: StoredResponse, isWanted: () => boolean): Effect.Effect<boolean, Trouble> =>
      withNow((now) => {
        let isStored = false
        return Effect.map(
          revise(key, (all) => {
            const same = all.find((other) => isSameVariant(other, stored))
            // One from the future was stored by a clock that has gone back since.
            isStored = isWanted() &&
              (same === undefined || same.requestTime <= stored.requestTime || same.requestTime > now + clockSkew)
            return isStored
              ? [stored, ...all.filter((other) => other !== same)].slice(0, maxVariants)
              : all
          }, stored.tags.length > 0),
          () => isStored
        )
      })

    const write = <E = never, R = never>(
      key: string,
      response: NewResponse,
      body: Uint8Array | Stream.Stream<Uint8Array, E, R>,
      { isWanted = () => true }: WriteOptions = {}
    ): Effect.Effect<Option.Option<StoredResponse>, E | Trouble, R> =>
      Effect.suspend(() => {
        let stored: StoredResponse | undefined
        const committed = (written: { readonly bytes: number; readonly id: string }) => {
          stored = { ...response, ...written }
          return commit(key, stored, isWanted)
        }
        return checked(
          key,
          Effect.zipRight(
            // What has expired makes room first.
            bounds === undefined ? Effect.void : Effect.ignore(removeSlice),
            Effect.map(
              bodies.write(key, body, response.expiresAt, committed),
              (isStored) => isStored ? Option.fromNullable(stored) : Option.none()
            )
          )
        ).pipe(
          Effect.catchIf((error): error is typeof tooLarge => error === tooLarge, () => Effect.succeedNone)
        )
      })

    const bodyOf: HttpCacheStore["Type"]["body"] = (key, response, part = { first: 0, last: response.bytes - 1 }) => {
      const { bytes, id } = response
      const damaged = Effect.zipRight(without(key, id), onDamaged(key))
      return Effect.tap(
        bodies.read(key, id, bytes, part, Effect.ignore(damaged)),
        (found) => Option.isNone(found) ? damaged : Effect.void
      )
    }

    const wholeOf = (key: string, response: StoredResponse) =>
      Effect.flatMap(bodyOf(key, response), (found) =>
        Option.isNone(found)
          ? Effect.succeed([])
          : Effect.map(Stream.runCollect(found.value.stream), (pieces) => [
            { body: new Uint8Array(Buffer.concat(Chunk.toArray(pieces))), response }
          ])).pipe(
          Effect.catchIf(
            (error) => error._tag === "StorageError" && error.reason === "Corrupt",
            () => Effect.succeed([])
          )
        )
    const take = (key: string) =>
      storage.transaction(
        Effect.flatMap(read(key), (responses) =>
          Effect.zipLeft(
            // What is damaged is of no row any more.
            Effect.map(
              Effect.forEach(
                responses,
                (response) => Effect.zipLeft(wholeOf(key, response), bodies.clear(key, response.id))
              ),
              (all) => all.flat()
            ),
            removed([key])
          )),
        { retry: true }
      )

    // --- What has expired ---

    const removeSlice = withNow((now) =>
      Effect.gen(function*() {
        const due = yield* bodies.dueAt(now, slice)
        let count = 0
        for (const one of due) {
          const row = yield* rows.get(one.key)
          const response = Option.match(row, {
            onNone: () => undefined,
            onSome: ({ value }) => parseRow(one.key, value)?.find(({ id }) => id === one.id)
          })
          if (bodies.isBusy(one.id) || (response !== undefined && isLiving(now)(response))) {
            yield* bodies.looked(one, now, response?.expiresAt)
            continue
          }
          yield* without(one.key, one.id)
          const chunks = yield* bodies.clear(one.key, one.id)
          yield* bodies.forget(one)
          if (chunks > 0 || response !== undefined) count++
        }
        return { count, more: due.length === slice }
      })
    )
    const removeExpired = soundly(
      Effect.iterate({ count: 0, more: true }, {
        body: ({ count }) =>
          Effect.map(
            Effect.zipLeft(removeSlice, Effect.yieldNow()),
            (done) => ({ count: count + done.count, more: done.more })
          ),
        while: ({ more }) => more
      })
    ).pipe(Effect.map(({ count }) => count))

    if (options.sweepInterval === undefined ? yield* isSystemClock : options.sweepInterval !== false) {
      yield* Effect.forkScoped(outsideTransactions(sleepingIdly(
        Effect.repeat(Effect.delay(Effect.ignore(removeExpired), sweepInterval), Schedule.forever)
      )))
    }

    return {
      body: (key, response, part) => checked(key, bodyOf(key, response, part)),
      bulk: (self) => storage.transaction(self),
      bytes: soundly(Effect.zipWith(rows.stat(), bodies.bytes, (known, bytes) => known.bytes + bytes)),
      clear: soundly(
        Effect.suspend(() =>
          Effect.zipLeft(
            // Who reads a body reads it to its end.
            bodies.hasReaders() ? deletePrefix("") : Effect.zipLeft(rows.clear(), bodies.clearAll),
            Effect.zipRight(byTag.clear(), bounds?.cleared ?? Effect.void)
          )
        )
      ),
      contains: (key) => checked(key, Effect.map(read(key), (responses) => responses.length > 0)),
      delete: (key) => checked(key, Effect.map(removed([key]), (count) => count > 0)),
      deleteMany: (keys) =>
        Effect.suspend(() => {
          const all = [...new Set(keys)]
          return Effect.zipRight(Effect.forEach(all, (key) => checked(key, Effect.void)), removed(all))
        }),
      deletePrefix,
      deleteTag: (tag) =>
        Effect.gen(function*() {
          const prefix = tagKey(tag, "")
          const tagged = Chunk.toReadonlyArray(yield* Stream.runCollect(byTag.keys({ prefix })))
          const keys = yield* Effect.filter(
            tagged.map((key) => key.slice(prefix.length)),
            (key) => Effect.map(read(key), (responses) => responses.some((response) => response.tags.includes(tag)))
          )
          return yield* Effect.zipLeft(removed(keys), byTag.removeMany(tagged))
        }),
      keys: (range) => rows.keys({ prefix: range?.prefix }),
      read: (key) => checked(key, read(key)),
      removeExpired,
      size: soundly(Effect.map(rows.stat(), ({ entries }) => entries)),
      take: (key) => checked(key, take(key)),
      update: (key, f) => checked(key, revise(key, f)),
      used: (key) => bounds === undefined ? Effect.void : withNow((now) => Effect.sync(() => bounds.used(key, now))),
      values: (range) =>
        Stream.mapConcatEffect(rows.entries({ limit: range?.limit, prefix: range?.prefix }), ({ key, value }) =>
          withNow((now) =>
            Effect.succeed(living(parseRow(key, value) ?? [], now).map((response): Entry => ({ key, response })))
          )),
      write
    }
  })
