/**
 * The store of an HTTP cache. The responses to one URL are one row; their bodies are chunks, `b`, key, id and number, in
 * a keyspace of their own. In it there is for each body a row `d`, time, key and id as well: it says when the body is
 * looked at next, and goes if no response has it any more. So nothing is left of what has expired, was replaced, or was
 * not received to its end, whoever was killed meanwhile.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Entry as StoreEntry, HttpCacheStore, NewResponse, Options, StoredResponse } from "../../HttpCacheStore.js"
import * as StorageModule from "../../Storage.js"
import { InvalidKey, type StorageError } from "../../StorageError.js"
import { isSystemClock, sleepingIdly, withNow } from "../storage/compat.js"
import { durationSetting, shown } from "../storage/duration.js"
import { failing, Fault } from "../storage/fault.js"
import { outsideTransactions } from "../storage/transactions.js"
import * as tags from "../store/anyText.js"
import * as bounded from "../store/bounds.js"
import { soundly } from "../store/soundly.js"
import { chunkBytes, isIntact, Pieces, rowBytes } from "./chunks.js"
import { parseRow, printRow, rowExpiry } from "./row.js"
import { isSameVariant } from "./vary.js"

/** How long a download may go on before its chunks are taken for the remains of one that was killed. */
const longestDownload = Duration.toMillis("1 day")
/** How many bodies are looked at in one go. */
const slice = 64
/** What a key may have, so that the keys made from it are no longer than those of the storage. */
const longestKey = 900

const tooLarge = Symbol("effect-kv/tooLarge")

const timeOf = (millis: number): string => String(Math.max(0, Math.ceil(millis))).padStart(15, "0")
const dueKey = (at: number, key: string, id: string): string => `d${timeOf(at)} ${key} ${id}`
const bodyPrefix = (key: string, id: string): string => `b${key} ${id} `
const chunkKey = (key: string, id: string, n: number): string => bodyPrefix(key, id) + String(n).padStart(8, "0")

/** What is under a key, in bytes. */
const sizeOf = (key: string, text: string, responses: ReadonlyArray<StoredResponse>): number =>
  bounded.sizeOf(key, text) + responses.reduce((sum, { bytes }) => sum + bytes, 0)

let written = 0

/** The time, so that who reads the keys sees it, and what makes it unlike all others. */
const makeId = withNow((now) =>
  Effect.map(Random.nextIntBetween(0, 2 ** 30), (random) => {
    written = (written + 1) % 2 ** 20
    return `${Math.max(0, Math.floor(now)).toString(36)}-${written.toString(36)}-${random.toString(36)}`
  })
)

const positive = (name: string, value: number | undefined, otherwise: number): Effect.Effect<number, Fault> =>
  value === undefined || (typeof value === "number" && value > 0)
    ? Effect.succeed(value ?? otherwise)
    : Effect.fail(new Fault("InvalidValue", `${name} is above zero, not ${shown(value)}`))

/** @internal */
export const make = (
  options: Options = {}
): Effect.Effect<HttpCacheStore["Type"], StorageError, StorageModule.Storage | Scope.Scope> =>
  Effect.gen(function*() {
    const storage = yield* StorageModule.Storage
    const name = options.name ?? "default"
    const { maxBytes, maxEntries, maxEntryBytes, maxVariants, sweepInterval } = yield* Effect.mapError(
      Effect.all({
        maxBytes: positive("maxBytes", options.maxBytes, Infinity),
        maxEntries: positive("maxEntries", options.maxEntries, Infinity),
        maxEntryBytes: positive("maxEntryBytes", options.maxEntryBytes, Infinity),
        maxVariants: positive("maxVariants", options.maxVariants, 16),
        sweepInterval: durationSetting("sweepInterval", options.sweepInterval || "1 minute", 1)
      }),
      failing("HttpCacheStore.layer")
    )
    const rows = yield* storage.keyspace(`http ${name}`)
    const bodies = yield* storage.keyspace(`http:bodies ${name}`)
    const byTag = yield* storage.keyspace(`http:tags ${name}`)

    /** Those that are being written here. */
    const unfinished = new Set<string>()

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

    /** How many read a body of several chunks here. What is replaced meanwhile goes when they are done. */
    const readers = new Map<string, number>()
    const doomed = new Set<string>()

    const clearBody = (key: string, id: string) =>
      Effect.suspend(() => {
        if (!readers.has(id)) return Effect.asVoid(bodies.clear({ prefix: bodyPrefix(key, id) }))
        doomed.add(id)
        return Effect.void
      })
    const clearBodies = (key: string, ids: ReadonlyArray<string>) =>
      Effect.forEach(ids, (id) => clearBody(key, id), { discard: true })
    const reading = <A, E>(key: string, id: string, self: Stream.Stream<A, E>): Stream.Stream<A, E> =>
      Stream.suspend(() => {
        readers.set(id, (readers.get(id) ?? 0) + 1)
        return Stream.ensuring(
          self,
          Effect.suspend(() => {
            const left = (readers.get(id) ?? 1) - 1
            if (left > 0) readers.set(id, left)
            else readers.delete(id)
            return left === 0 && doomed.delete(id) ? Effect.ignore(clearBody(key, id)) : Effect.void
          })
        )
      })

    /** Removes all rows that begin so, and tells how many; with their bodies. */
    const clearRows = (prefix: string) => {
      if (readers.size === 0) return Effect.zipLeft(rows.clear({ prefix }), bodies.clear({ prefix: `b${prefix}` }))
      return Effect.gen(function*() {
        const found = Chunk.toReadonlyArray(yield* Stream.runCollect(rows.entries({ prefix })))
        const removed = yield* rows.clear({ prefix })
        for (const { key, value } of found) yield* clearBodies(key, (parseRow(key, value) ?? []).map(({ id }) => id))
        return removed
      })
    }

    /** What is there of a row now. */
    const livingOf = (key: string, value: StorageModule.Value, now: number): ReadonlyArray<StoredResponse> => {
      const all = parseRow(key, value) ?? []
      const isLiving = ({ expiresAt }: StoredResponse): boolean => expiresAt === undefined || expiresAt > now
      return all.every(isLiving) ? all : all.filter(isLiving)
    }

    const read: HttpCacheStore["Type"]["read"] = (key) =>
      checked(
        key,
        withNow((now) =>
          Effect.map(rows.get(key), (row) => Option.isNone(row) ? [] : livingOf(key, row.value.value, now))
        )
      )

    /** Changes a row, and all that follows from it. */
    const revise = (
      key: string,
      f: (responses: ReadonlyArray<StoredResponse>) => ReadonlyArray<StoredResponse>
    ) =>
      withNow((now) =>
        Effect.gen(function*() {
          const { after, before, sizes } = yield* rows.modify(key, (row) => {
            const text = Option.map(row, ({ value }) => value)
            const before = Option.isNone(text) ? [] : parseRow(key, text.value) ?? []
            const living = Option.isNone(text) ? [] : livingOf(key, text.value, now)
            const changed = f(living)
            const after = changed === living ? before : changed
            const sizes = {
              before: Option.map(text, (value) => sizeOf(key, String(value), before)),
              now: 0
            }
            if (after === before) return [{ after, before, sizes }, StorageModule.keep]
            if (after.length === 0) return [{ after, before, sizes }, StorageModule.remove]
            const value = printRow(after)
            return [
              { after, before, sizes: { ...sizes, now: sizeOf(key, value, after) } },
              StorageModule.put(value, rowExpiry(after))
            ]
          })
          if (after === before) return
          const kept = new Set(after.map(({ id }) => id))
          yield* clearBodies(key, before.flatMap(({ id }) => kept.has(id) ? [] : id))
          if (after.length === 0) return yield* bounds?.removed(key) ?? Effect.void
          yield* byTag.setMany(
            [...new Set(after.flatMap((response) => response.tags))].map((tag) => ({
              expiresAt: rowExpiry(after),
              key: tagKey(tag, key),
              value: ""
            }))
          )
          if (bounds === undefined) return
          bounds.counted(sizes.now, Option.getOrUndefined(sizes.before))
          const evicted = yield* bounds.settled([{ bytes: sizes.now, expiresAt: rowExpiry(after), key }])
          if (evicted > 0) yield* options.onEvicted?.(evicted) ?? Effect.void
        })
      )

    const tagKey = (tag: string, key: string): string => `${tags.keyOf(tag)} ${key}`

    const removeAll = (keys: ReadonlyArray<string>) =>
      Effect.flatMap(rows.getMany(keys), (found) =>
        Effect.zipLeft(
          rows.removeMany(keys),
          Effect.forEach(found.flatMap(Option.toArray), ({ key, value }) =>
            clearBodies(key, (parseRow(key, value) ?? []).map(({ id }) => id)), { discard: true })
        ))

    const bounds = maxBytes === Infinity && maxEntries === Infinity ? undefined : yield* bounded.open(
      storage,
      {
        entries: Stream.map(rows.entries(), ({ expiresAt, key, value }) => ({
          bytes: sizeOf(key, String(value), parseRow(key, value) ?? []),
          expiresAt,
          key
        })),
        order: `http:order ${name}`,
        removeMany: removeAll,
        stat: Effect.zipWith(
          rows.stat(),
          bodies.stat({ prefix: "b" }),
          (known, stored) => ({ bytes: known.bytes + stored.bytes, entries: known.entries })
        )
      },
      { countsUse: true, maxBytes, maxEntries }
    )
    const mostBytes = Math.min(maxEntryBytes, maxBytes)

    /** Has the response take its place, unless there is a later one. */
    const commit = (key: string, stored: StoredResponse, isWanted: () => boolean) =>
      Effect.suspend(() => {
        let isStored = false
        return Effect.map(
          revise(key, (responses) => {
            const others = responses.filter((other) =>
              !isSameVariant(other, stored)
            )
            const same = responses.find((other) => isSameVariant(other, stored))
            isStored = isWanted() && (same === undefined || same.requestTime <= stored.requestTime)
            return isStored
              ? [stored, ...others].sort((a, b) => b.responseTime - a.responseTime).slice(0, maxVariants)
              : responses
          }),
          () => isStored ? Option.some(stored) : Option.none()
        )
      })

    const write = <E = never, R = never>(
      key: string,
      response: NewResponse,
      body: Uint8Array | Stream.Stream<Uint8Array, E, R>,
      { isWanted = () => true }: { readonly isWanted?: (() => boolean) | undefined } = {}
    ): Effect.Effect<Option.Option<StoredResponse>, E | StorageError | InvalidKey, R> =>
      checked(
        key,
        Effect.flatMap(makeId, (id) =>
          withNow((now): Effect.Effect<Option.Option<StoredResponse>, E | StorageError | InvalidKey, R> => {
            const pieces = new Pieces()
            const dueAt = response.expiresAt ?? now + longestDownload
            const chunk = (n: number, value: Uint8Array) => ({ expiresAt: undefined, key: chunkKey(key, id, n), value })
            const due = (at: number) => ({ expiresAt: undefined, key: dueKey(at, key, id), value: "" })
            const absorb = (piece: Uint8Array): Effect.Effect<void, StorageError | InvalidKey | typeof tooLarge> => {
              if (pieces.bytes + piece.byteLength > mostBytes) {
                return Effect.fail(tooLarge)
              }
              const full = pieces.add(piece)
              if (full.length === 0) {
                return Effect.void
              }
              const first = pieces.chunks - full.length
              return bodies.setMany([
                ...full.map((value, i) =>
                  chunk(first + i, value)
                ),
                ...(first === 0 ? [due(now + longestDownload)] : [])
              ])
            }
            const received: Effect.Effect<void, E | StorageError | InvalidKey | typeof tooLarge, R> =
              body instanceof Uint8Array
                ? absorb(body)
                : Stream.runForEach(body, absorb)
            const last = Effect.suspend(() => {
              const rest = pieces.end()
              if (pieces.bytes === 0) return Effect.void
              return bodies.setMany([
                ...(rest === undefined ? [] : [chunk(pieces.chunks - 1, rest)]),
                due(dueAt)
              ])
            })
            const stored = Effect.suspend(() => commit(key, { ...response, bytes: pieces.bytes, id }, isWanted))
            const cleared = Effect.suspend(() => pieces.chunks === 0 ? Effect.void : Effect.ignore(clearBody(key, id)))
            unfinished.add(id)
            return received.pipe(
              Effect.zipRight(Effect.uninterruptible(Effect.zipRight(last, stored))),
              Effect.tap((found) => Option.isNone(found) ? cleared : Effect.void),
              Effect.onError(() => cleared),
              Effect.catchIf(
                (error): error is typeof tooLarge => error === tooLarge,
                () => Effect.succeedNone
              ),
              Effect.ensuring(Effect.sync(() => unfinished.delete(id)))
            )
          }))
      )

    /** It is as if it had never been stored. */
    const damaged = (key: string, id: string) =>
      revise(key, (responses) => responses.filter((response) => response.id !== id)).pipe(
        Effect.zipRight(options.onDamaged?.(key) ?? Effect.void)
      )
    const corrupt = failing("HttpCacheStore.body", rows.name)(
      new Fault("Corrupt", "a piece of a stored body is damaged or gone; the response is removed, ask for it again")
    )

    const chunkOf = (key: string, { bytes, id }: StoredResponse, n: number) =>
      Effect.map(bodies.get(chunkKey(key, id, n)), (found) => {
        const value = Option.getOrUndefined(found)?.value
        const length = Math.min(chunkBytes, bytes - n * chunkBytes)
        return value instanceof Uint8Array && isIntact(value, length)
          ? Option.some(value.subarray(0, length))
          : Option.none()
      })

    const body: HttpCacheStore["Type"]["body"] = (
      key,
      response,
      { first, last } = { first: 0, last: response.bytes - 1 }
    ) => {
      const { bytes, id } = response
      const length = last - first + 1
      const made = (whole: Uint8Array | undefined, stream: Stream.Stream<Uint8Array, StorageError>) =>
        Option.some({ bytes: length, stream, whole })
      if (bytes === 0) return Effect.succeed(made(new Uint8Array(0), Stream.empty))
      const gone = Effect.as(damaged(key, id), Option.none())
      if (bytes <= chunkBytes) {
        return Effect.flatMap(chunkOf(key, response, 0), (chunk) => {
          if (Option.isNone(chunk)) return gone
          const whole = chunk.value.subarray(first, last + 1)
          return Effect.succeed(made(whole, Stream.make(whole)))
        })
      }
      const chunks = Math.ceil(bytes / chunkBytes)
      const stream = Stream.unfoldEffect(
        Math.floor(first / chunkBytes),
        (n): Effect.Effect<Option.Option<readonly [Uint8Array, number]>, StorageError> => {
          const start = n * chunkBytes
          if (start > last) return Effect.succeedNone
          return Effect.flatMap(soundly(chunkOf(key, response, n)), (chunk) =>
            Option.isNone(chunk)
              ? Effect.zipRight(Effect.ignore(damaged(key, id)), Effect.fail(corrupt))
              : Effect.succeedSome([chunk.value.subarray(Math.max(0, first - start), last - start + 1), n + 1]))
        }
      )
      return Effect.flatMap(
        bodies.stat({ prefix: bodyPrefix(key, id) }),
        (stat) =>
          stat.entries === chunks && stat.bytes === rowBytes(bytes, Buffer.byteLength(chunkKey(key, id, 0)))
            ? Effect.succeed(made(undefined, reading(key, id, stream)))
            : gone
      )
    }

    const deleteMany = (keys: ReadonlyArray<string>) =>
      Effect.zipLeft(
        removeAll(keys),
        bounds === undefined ? Effect.void : Effect.forEach(keys, (key) => bounds.removed(key), { discard: true })
      )

    const wholeOf = (key: string, response: StoredResponse) =>
      Effect.flatMap(body(key, response), (found) =>
        Option.isNone(found)
          ? Effect.succeed([])
          : Effect.map(Stream.runCollect(found.value.stream), (pieces) => [
            { body: new Uint8Array(Buffer.concat(Chunk.toArray(pieces))), response }
          ]))
    const take: HttpCacheStore["Type"]["take"] = (key) =>
      storage.transaction(
        Effect.flatMap(read(key), (responses) =>
          Effect.zipLeft(
            Effect.map(Effect.forEach(responses, (response) => wholeOf(key, response)), (all) => all.flat()),
            deleteMany([key])
          )),
        { retry: true }
      )

    /** Looks at a body whose time has come; tells whether it went. */
    const look = (due: string, now: number) => {
      const key = due.slice(due.indexOf(" ") + 1, due.lastIndexOf(" "))
      const id = due.slice(due.lastIndexOf(" ") + 1)
      const later = (at: number) => bodies.setMany([{ expiresAt: undefined, key: dueKey(at, key, id), value: "" }])
      if (unfinished.has(id)) return Effect.as(later(now + longestDownload), false)
      return Effect.flatMap(read(key), (responses) => {
        const living = responses.find((response) => response.id === id)
        return living === undefined
          ? Effect.as(Effect.zipRight(clearBody(key, id), revise(key, (all) => all.filter((_) => _.id !== id))), true)
          : Effect.as(later(living.expiresAt ?? now + longestDownload), false)
      })
    }
    const removeSlice = withNow((now) =>
      Effect.gen(function*() {
        const due = Chunk.toReadonlyArray(
          yield* Stream.runCollect(bodies.keys({ limit: slice, prefix: "d", to: `d${timeOf(now + 1)}` }))
        )
        let removed = 0
        for (const key of due) if (yield* look(key, now)) removed++
        yield* bodies.removeMany(due.filter((key) => key < `d${timeOf(now + 1)}`))
        return { more: due.length === slice, removed }
      })
    )
    const removeExpired = soundly(
      Effect.gen(function*() {
        let removed = 0
        for (;;) {
          const done = yield* removeSlice
          removed += done.removed
          if (!done.more) return removed
          yield* Effect.yieldNow()
        }
      })
    )

    if (options.sweepInterval === undefined ? yield* isSystemClock : options.sweepInterval !== false) {
      yield* Effect.forkScoped(outsideTransactions(sleepingIdly(
        Effect.repeat(Effect.delay(Effect.ignore(removeExpired), sweepInterval), Schedule.forever)
      )))
    }

    const values: HttpCacheStore["Type"]["values"] = (range) =>
      Stream.mapConcatEffect(rows.entries({ prefix: range?.prefix }), ({ key, value }) =>
        withNow((now) =>
          Effect.succeed(livingOf(key, value, now).map((response): StoreEntry => ({ key, response })))
        ))

    return {
      body: (key, response, range) =>
        checked(key, body(key, response, range)),
      bulk: (self) => storage.transaction(self),
      bytes: soundly(Effect.zipWith(rows.stat(), bodies.stat({ prefix: "b" }), (a, b) => a.bytes + b.bytes)),
      clear: soundly(
        Effect.zipLeft(
          clearRows(""),
          Effect.all([byTag.clear(), bounds?.cleared ?? Effect.void], { discard: true })
        )
      ),
      contains: (key) => Effect.map(read(key), (responses) => responses.length > 0),
      delete: (key) => checked(key, Effect.map(deleteMany([key]), (removed) => removed > 0)),
      deleteMany: (keys) =>
        Effect.suspend(() => {
          const all = [...new Set(keys)]
          return Effect.zipRight(Effect.forEach(all, (key) => checked(key, Effect.void)), deleteMany(all))
        }),
      deletePrefix: clearRows,
      deleteTag: (tag) =>
        Effect.gen(function*() {
          const prefix = tagKey(tag, "")
          const tagged = Chunk.toReadonlyArray(yield* Stream.runCollect(byTag.keys({ prefix })))
          const keys = yield* Effect.filter(
            tagged.map((key) => key.slice(prefix.length)),
            (key) => Effect.map(read(key), (responses) => responses.some((response) => response.tags.includes(tag)))
          )
          const removed = yield* deleteMany(keys)
          yield* byTag.removeMany(tagged)
          return removed
        }),
      keys: (range) => rows.keys({ prefix: range?.prefix }),
      read,
      removeExpired,
      size: soundly(Effect.map(rows.stat(), ({ entries }) => entries)),
      take: (key) => checked(key, take(key)),
      update: (key, f) => checked(key, revise(key, f)),
      used: (key) => bounds === undefined ? Effect.void : withNow((now) => Effect.sync(() => bounds.used(key, now))),
      values,
      write
    }
  })
