/**
 * A `Keyspace` over a `Driver`: everything that is the same on every engine. Keys and values are checked here, ranges
 * are brought to bounds, streams are cut into pages, faults become `StorageError`s. A driver sees only valid input.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Change, Entry, Keyspace, Range, Slice, Stat, Value } from "../../Storage.js"
import { InvalidKey, StorageError } from "../../StorageError.js"
import { type Call, callOf } from "./call.js"
import type { KeyKind } from "./keys.js"
import { counterOf } from "./metrics.js"
import { beyond, type Bounds, toBounds, toLimit } from "./range.js"

/**
 * What an engine does for one keyspace.
 *
 * @internal
 */
export interface Driver<K> {
  /** `done` counts, and costs no effect of its own. */
  readonly get: <A>(
    key: K,
    done: (entry: Option.Option<Entry<K>>) => A,
    call: Call<StorageError>
  ) => Effect.Effect<A, StorageError>
  readonly head: <A>(
    key: K,
    done: (entry: Option.Option<Pick<Entry, "expiresAt">>) => A,
    call: Call<StorageError>
  ) => Effect.Effect<A, StorageError>
  readonly getMany: (
    keys: ReadonlyArray<K>,
    call: Call<StorageError>
  ) => Effect.Effect<Array<Option.Option<Entry<K>>>, StorageError>
  readonly set: (entry: Entry<K>, done: () => void, call: Call<StorageError>) => Effect.Effect<void, StorageError>
  readonly setMany: (entries: ReadonlyArray<Entry<K>>, call: Call<StorageError>) => Effect.Effect<void, StorageError>
  readonly modify: <A>(
    key: K,
    f: (entry: Option.Option<Entry<K>>) => readonly [A, Change<K>],
    call: Call<StorageError>
  ) => Effect.Effect<A, StorageError>
  readonly remove: (key: K, call: Call<StorageError>) => Effect.Effect<boolean, StorageError>
  readonly removeMany: (keys: ReadonlyArray<K>, call: Call<StorageError>) => Effect.Effect<number, StorageError>
  readonly take: (bounds: Bounds<K>, call: Call<StorageError>) => Effect.Effect<Array<Entry<K>>, StorageError>
  readonly entries: (bounds: Bounds<K>, call: Call<StorageError>) => Effect.Effect<Array<Entry<K>>, StorageError>
  readonly keys: (bounds: Bounds<K>, call: Call<StorageError>) => Effect.Effect<ReadonlyArray<K>, StorageError>
  readonly stat: (bounds: Bounds<K>, call: Call<StorageError>) => Effect.Effect<Stat, StorageError>
  readonly clear: (bounds: Bounds<K>, call: Call<StorageError>) => Effect.Effect<number, StorageError>
  readonly removeExpired: (limit: number, call: Call<StorageError>) => Effect.Effect<Slice, StorageError>
}

/** The bytes that one page of a stream should hold, about. */
const pageBytes = 1 << 20
const firstPage = 16
const maxPage = 1024

/** @internal */
export const makeKeyspace = <K extends string | Uint8Array>(
  name: string,
  kind: KeyKind<K>,
  driver: Driver<K>
): Keyspace<K> => {
  const at = (method: string, key?: K): Call<StorageError> => callOf(method, name, key)

  const hits = counterOf("hits", name)
  const misses = counterOf("misses", name)
  const writes = counterOf("writes", name)
  const expirations = counterOf("expirations", name)
  const countRead = <A>(entry: Option.Option<A>): Option.Option<A> => {
    if (Option.isSome(entry)) hits(1)
    else misses(1)
    return entry
  }
  const countWrite = (): void => writes(1)
  /** Counts what was written, as far as the answer tells. */
  const writing = <A>(
    self: Effect.Effect<A, StorageError>,
    count: (answer: A) => number
  ): Effect.Effect<A, StorageError> =>
    Effect.map(self, (answer) => {
      writes(count(answer))
      return answer
    })

  const invalid = (key: K, issue: string) => Effect.fail(new InvalidKey({ issue, key, keyspace: name }))

  const withKey = <A, E>(key: K, use: (key: K) => Effect.Effect<A, E>): Effect.Effect<A, E | InvalidKey> => {
    const issue = kind.issue(key)
    return issue === undefined ? use(key) : invalid(key, issue)
  }

  const withKeys = <A, E>(
    keys: Iterable<K>,
    use: (keys: ReadonlyArray<K>) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | InvalidKey> => {
    const all = [...keys]
    for (const key of all) {
      const issue = kind.issue(key)
      if (issue !== undefined) return invalid(key, issue)
    }
    return use(all)
  }

  const withRange = <A, E>(
    range: Range<K> | undefined,
    use: (bounds: Bounds<K>) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | InvalidKey> => {
    for (const key of [range?.prefix, range?.from, range?.to, range?.through, range?.after]) {
      const issue = key === undefined ? undefined : kind.issue(key)
      if (key !== undefined && issue !== undefined) return invalid(key, issue)
    }
    return use(toBounds(kind, range ?? {}))
  }

  const badValue = (method: string, key: K, issue: string) =>
    new StorageError({ detail: issue, key, keyspace: name, method, reason: "InvalidValue" })

  /** Entries as engines write them; or what is wrong with one. */
  const checkedEntries = (
    method: string,
    entries: Iterable<Entry<K>>
  ): Array<Entry<K>> | Effect.Effect<never, StorageError | InvalidKey> => {
    const all: Array<Entry<K>> = []
    for (const { expiresAt, key, value } of entries) {
      const keyIssue = kind.issue(key)
      if (keyIssue !== undefined) return invalid(key, keyIssue)
      const issue = entryIssue(value, expiresAt)
      if (issue !== undefined) return Effect.fail(badValue(method, key, issue))
      all.push({ expiresAt: toExpiry(expiresAt), key, value })
    }
    return all
  }

  const pages = <A>(
    range: Range<K> | undefined,
    read: (bounds: Bounds<K>) => Effect.Effect<ReadonlyArray<A>, StorageError>,
    keyOf: (item: A) => K,
    sizeOf: (item: A) => number
  ): Stream.Stream<A, StorageError | InvalidKey> => {
    const page = (
      { bounds, size }: { readonly bounds: Bounds<K>; readonly size: number }
    ): Effect.Effect<
      readonly [Chunk.Chunk<A>, Option.Option<{ readonly bounds: Bounds<K>; readonly size: number }>],
      StorageError
    > => {
      const limit = Math.min(size, bounds.limit)
      return Effect.map(read({ ...bounds, limit }), (items) => {
        const last = items.at(-1)
        const left = bounds.limit - items.length
        const next = last === undefined || items.length < limit || left === 0 ? Option.none() : Option.some({
          bounds: beyond(bounds, keyOf(last), left),
          size: pageAfter(items, sizeOf)
        })
        return [Chunk.unsafeFromArray(items), next] as const
      })
    }
    return Stream.unwrap(
      withRange(range, (bounds) => Effect.succeed(Stream.paginateChunkEffect({ bounds, size: firstPage }, page)))
    )
  }

  return {
    name,
    get: (key) => withKey(key, (key) => driver.get(key, countRead, at("get", key))),
    head: (key) => withKey(key, (key) => driver.head(key, countRead, at("head", key))),
    getMany: (keys) =>
      withKeys(
        keys,
        (keys) =>
          keys.length === 0 ? Effect.succeed([]) : Effect.map(driver.getMany(keys, at("getMany")), (entries) => {
            entries.forEach(countRead)
            return entries
          })
      ),
    set: (key, value, expiresAt) => {
      const issue = entryIssue(value, expiresAt)
      if (issue !== undefined) return Effect.fail(badValue("set", key, issue))
      return withKey(
        key,
        (key) => driver.set({ expiresAt: toExpiry(expiresAt), key, value }, countWrite, at("set", key))
      )
    },
    setMany: (entries) => {
      const all = checkedEntries("setMany", entries)
      return !Array.isArray(all)
        ? all
        : all.length === 0
        ? Effect.void
        : writing(driver.setMany(all, at("setMany")), () => all.length)
    },
    modify: <A>(key: K, f: (entry: Option.Option<Entry<K>>) => readonly [A, Change<K>]) =>
      withKey(
        key,
        (key) =>
          Effect.flatten(
            driver.modify(key, (entry): readonly [Effect.Effect<A, StorageError | InvalidKey>, Change<K>] => {
              const [answer, change] = f(entry)
              if (change._tag === "Keep") return [Effect.succeed(answer), change]
              const answered = Effect.sync(() => {
                if (change._tag === "Put") writes(1 + (change.others?.length ?? 0))
                else if (Option.isSome(entry)) countWrite()
                return answer
              })
              if (change._tag === "Remove") return [answered, change]
              const issue = entryIssue(change.value, change.expiresAt)
              if (issue !== undefined) return [Effect.fail(badValue("modify", key, issue)), keep]
              const others = change.others === undefined ? undefined : checkedEntries("modify", change.others)
              return others === undefined || Array.isArray(others)
                ? [answered, { ...change, expiresAt: toExpiry(change.expiresAt), others }]
                : [others, keep]
            }, at("modify", key))
          )
      ),
    remove: (key) => withKey(key, (key) => writing(driver.remove(key, at("remove", key)), Number)),
    removeMany: (keys) =>
      withKeys(
        keys,
        (keys) => keys.length === 0 ? Effect.succeed(0) : writing(driver.removeMany(keys, at("removeMany")), Number)
      ),
    take: (range, limit) =>
      withRange(
        { ...range, limit: Math.min(range.limit ?? Infinity, limit) },
        (bounds) =>
          bounds.limit === 0
            ? Effect.succeed([])
            : writing(driver.take(bounds, at("take")), (entries) => entries.length)
      ),
    peek: (range, limit) =>
      withRange(
        { ...range, limit: Math.min(range.limit ?? Infinity, limit) },
        (bounds) => bounds.limit === 0 ? Effect.succeed([]) : driver.entries(bounds, at("peek"))
      ),
    entries: (range) =>
      pages(range, (bounds) => driver.entries(bounds, at("entries")), (entry) => entry.key, entrySize),
    keys: (range) => pages(range, (bounds) => driver.keys(bounds, at("keys")), (key) => key, (key) => key.length),
    stat: (range) => withRange(unlimited(range), (bounds) => driver.stat(bounds, at("stat"))),
    clear: (range) => withRange(unlimited(range), (bounds) => writing(driver.clear(bounds, at("clear")), Number)),
    removeExpired: ({ limit }) =>
      Effect.map(driver.removeExpired(toLimit(limit), at("removeExpired")), (slice) => {
        expirations(slice.removed)
        return slice
      })
  }
}

const unlimited = <K>(range: Range<K> | undefined): Range<K> => ({ ...range, limit: undefined })

const keep: Change = { _tag: "Keep" }

/** @internal */
export const entrySize = <K extends string | Uint8Array>(entry: Entry<K>): number =>
  entry.key.length + entry.value.length

/** Pages grow or shrink to about `pageBytes`, so that neither a million small values nor a few huge ones hurt. */
const pageAfter = <A>(items: ReadonlyArray<A>, sizeOf: (item: A) => number): number => {
  let bytes = 0
  for (const item of items) bytes += sizeOf(item)
  return Math.max(1, Math.min(maxPage, Math.floor(pageBytes / Math.max(1, bytes / items.length))))
}

/**
 * Why a value with its expiry could not be kept as it is.
 *
 * @internal
 */
export const entryIssue = (value: Value, expiresAt: number | undefined): string | undefined =>
  expiresAt !== undefined && (typeof expiresAt !== "number" || Number.isNaN(expiresAt))
    ? `the expiry is a number of milliseconds since the epoch, not ${expiresAt}`
    : typeof value === "string"
    ? value.isWellFormed()
      ? undefined
      : "the text contains a lone surrogate, which has no UTF-8 form; check where it was cut or store bytes"
    : value instanceof Uint8Array
    ? undefined
    : `a value is a string or a Uint8Array, not ${value === null ? "null" : typeof value}`

/** Engines keep whole milliseconds; the clock's are whole too, so rounding up changes nothing that can be seen. */
const toExpiry = (expiresAt: number | undefined): number | undefined =>
  expiresAt === undefined || expiresAt === Infinity
    ? undefined
    : Math.max(Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER), Number.MIN_SAFE_INTEGER)
