/**
 * Memoised functions of effect-kv and of its peers: the same function, the same keys, one run. Below 1 is ahead.
 *
 * All are on better-sqlite3 with WAL and synchronous NORMAL, as `Sqlite.layer` is. Nothing is swept while it is measured.
 */
import { PersistedCache, Persistence } from "@effect/experimental"
import Database from "better-sqlite3"
import { Effect, Layer, ManagedRuntime, PrimaryKey, Schema, type Scope } from "effect"
import { Memoize, TtlStore } from "effect-kv"
import * as path from "node:path"
import { printRaces, type Race, race, type Runner, say } from "./harness.js"
import { hour, missingOf, versionOf } from "./peers.js"
import { concurrently, loop, on, Small } from "./stores.js"
import { keys, type Small as Answer, small, thousand } from "./values.js"

// Imports as from bench/, where the peers are installed.
const { load }: { readonly load: (name: string) => Promise<unknown> } = await import(
  new URL("../../bench/load.mjs", import.meta.url).href
)

/** The function that is memoised, in two forms: one answers at once, the other after a while. */
class Origin {
  calls = 0
  readonly answer = (key: string): Answer => {
    this.calls++
    return { ...small(), name: key }
  }
  readonly answerLater = (key: string): Promise<Answer> =>
    new Promise((resolve) => {
      setTimeout(() => resolve(this.answer(key)), delay)
    })
}

const delay = 20

/** What is measured. Whatever takes keys calls the memoised function for each of them. */
interface MemoSide {
  readonly name: string
  readonly note: string
  readonly origin: Origin
  /** One after the other. */
  readonly stored: (keys: ReadonlyArray<string>) => Promise<unknown>
  /** One after the other, with a layer in memory. */
  readonly inMemory: (keys: ReadonlyArray<string>) => Promise<unknown>
  /** All at once, of the function that answers after a while. */
  readonly atOnce: (keys: ReadonlyArray<string>) => Promise<unknown>
  /** Of a call that is no part of what is measured. */
  readonly answerTo: (key: string) => Promise<Answer>
  readonly close: () => Promise<unknown>
}

const capacity = 20_000

const loopOf = (call: (key: string) => Promise<Answer>) => async (keys: ReadonlyArray<string>) => {
  for (const key of keys) await call(key)
}

const allOf = (call: (key: string) => Promise<Answer>) => (keys: ReadonlyArray<string>) => Promise.all(keys.map(call))

/** One of those that are effects. */
const effectSide = async <R>(
  name: string,
  note: string,
  layer: Layer.Layer<R, unknown>,
  calls: (origin: Origin) => Effect.Effect<
    Record<"stored" | "inMemory" | "atOnce", (key: string) => Effect.Effect<Answer, unknown>>,
    unknown,
    R | Scope.Scope
  >
): Promise<MemoSide> => {
  const origin = new Origin()
  const runtime = ManagedRuntime.make(Layer.merge(layer, Layer.scope))
  const { atOnce, inMemory, stored } = await runtime.runPromise(calls(origin))
  return {
    answerTo: (key) => runtime.runPromise(stored(key)),
    atOnce: (keys) => runtime.runPromise(concurrently(keys, atOnce)),
    close: () => runtime.dispose(),
    inMemory: (keys) => runtime.runPromise(loop(keys, inMemory)),
    name,
    note,
    origin,
    stored: (keys) => runtime.runPromise(loop(keys, stored))
  }
}

const openOurs = (folder: string): Promise<MemoSide> =>
  effectSide(
    "effect-kv",
    "Memoize.make; in memory with a layer before SQLite",
    on({ filename: path.join(folder, "memo-ours.db") }),
    (origin) => {
      const options = { args: Schema.Tuple(Schema.String), success: Small, timeToLive: "1 hour" } as const
      return Effect.all({
        atOnce: Memoize.make({ ...options, name: "atOnce" }, (key) => Effect.promise(() => origin.answerLater(key))),
        inMemory: Memoize.make(
          { ...options, inMemory: { capacity, maxAge: "1 hour" }, name: "inMemory" },
          (key) => Effect.sync(() => origin.answer(key))
        ),
        stored: Memoize.make({ ...options, name: "stored" }, (key) => Effect.sync(() => origin.answer(key)))
      })
    }
  )

class ByKey extends Schema.TaggedRequest<ByKey>()("ByKey", {
  failure: Schema.String,
  payload: { key: Schema.String },
  success: Small
}) {
  [PrimaryKey.symbol]() {
    return this.key
  }
}

/**
 * It always has a layer in memory. For what is read from SQLite that holds one answer, and the keys differ from one call
 * to the next.
 */
const openPersistedCache = (folder: string): Promise<MemoSide> =>
  effectSide(
    "PersistedCache",
    "of @effect/experimental, on TtlStore.layerPersistence; from SQLite with a layer in memory of one answer, which " +
      "is the least it can have",
    Persistence.layerResult.pipe(
      Layer.provide(TtlStore.layerPersistence()),
      Layer.provide(on({ filename: path.join(folder, "memo-persisted.db") }))
    ),
    (origin) => {
      const cache = (storeId: string, inMemoryCapacity: number, lookup: (key: string) => Effect.Effect<Answer>) =>
        Effect.map(
          PersistedCache.make({
            inMemoryCapacity,
            inMemoryTTL: "1 hour",
            lookup: ({ key }: ByKey) => lookup(key),
            storeId,
            timeToLive: () => "1 hour"
          }),
          (cache) => (key: string) => cache.get(new ByKey({ key }))
        )
      return Effect.all({
        atOnce: cache("atOnce", capacity, (key) => Effect.promise(() => origin.answerLater(key))),
        inMemory: cache("inMemory", capacity, (key) => Effect.sync(() => origin.answer(key))),
        stored: cache("stored", 1, (key) => Effect.sync(() => origin.answer(key)))
      })
    }
  )

const openDatabase = (filename: string) => {
  const db = new Database(filename)
  db.pragma("journal_mode = WAL")
  db.pragma("synchronous = NORMAL")
  return db
}

interface Bento {
  readonly getOrSet: (options: {
    readonly key: string
    readonly factory: () => Answer | Promise<Answer>
    readonly ttl: number
  }) => Promise<Answer>
  readonly disconnect: () => Promise<void>
}

interface BentoStore {
  readonly useL1Layer: (driver: unknown) => BentoStore
  readonly useL2Layer: (driver: unknown) => BentoStore
}

interface BentoModule {
  readonly BentoCache: new(
    options: { readonly default: "store"; readonly stores: { readonly store: BentoStore } }
  ) => Bento
  readonly bentostore: () => BentoStore
}

interface BentoMemory {
  readonly memoryDriver: (options: { readonly maxItems: number; readonly serialize: boolean }) => unknown
}

interface BentoKysely {
  readonly kyselyDriver: (options: { readonly connection: unknown; readonly pruneInterval: false }) => unknown
}

interface KyselyModule {
  readonly Kysely: new(options: { readonly dialect: unknown }) => unknown
  readonly SqliteDialect: new(options: { readonly database: unknown }) => unknown
}

/** `serialize: false` is its quicker way, and keeps values as they are, as our layer in memory does. */
const openBento = async (folder: string): Promise<MemoSide> => {
  const { BentoCache, bentostore } = await load("bentocache") as BentoModule
  const { memoryDriver } = await load("bentocache/drivers/memory") as BentoMemory
  const { kyselyDriver } = await load("bentocache/drivers/kysely") as BentoKysely
  const { Kysely, SqliteDialect } = await load("kysely") as KyselyModule
  const sqlite = (file: string) =>
    kyselyDriver({
      connection: new Kysely({ dialect: new SqliteDialect({ database: openDatabase(path.join(folder, file)) }) }),
      pruneInterval: false
    })
  const cacheOf = (store: BentoStore) => new BentoCache({ default: "store", stores: { store } })
  const stored = cacheOf(bentostore().useL2Layer(sqlite("memo-bento.db")))
  const inMemory = cacheOf(
    bentostore()
      .useL1Layer(memoryDriver({ maxItems: capacity, serialize: false }))
      .useL2Layer(sqlite("memo-bento-memory.db"))
  )
  const origin = new Origin()
  const call = (cache: Bento, answer: (key: string) => Answer | Promise<Answer>) => (key: string) =>
    cache.getOrSet({ factory: () => answer(key), key, ttl: hour })
  return {
    answerTo: call(stored, origin.answer),
    atOnce: allOf(call(stored, origin.answerLater)),
    close: async () => {
      await stored.disconnect()
      await inMemory.disconnect()
    },
    inMemory: loopOf(call(inMemory, origin.answer)),
    name: "bentocache",
    note:
      `${versionOf("bentocache")}, its database driver on kysely ${versionOf("kysely")}; in memory with its memory ` +
      "driver before that, serialize: false",
    origin,
    stored: loopOf(call(stored, origin.answer))
  }
}

interface CacheEntry {
  readonly value: unknown
  readonly metadata: { readonly createdTime: number; readonly ttl?: number | null; readonly swr?: number | null }
}

interface CachifiedCache {
  readonly name: string
  readonly get: (key: string) => CacheEntry | undefined
  readonly set: (key: string, entry: CacheEntry) => unknown
  readonly delete: (key: string) => unknown
}

interface CachifiedModule {
  readonly cachified: (options: {
    readonly cache: CachifiedCache
    readonly key: string
    readonly ttl: number
    readonly getFreshValue: () => Answer | Promise<Answer>
  }) => Promise<Answer>
  readonly totalTtl: (metadata: CacheEntry["metadata"]) => number
}

interface LruModule {
  readonly LRUCache: new(options: { readonly max: number }) => {
    readonly get: (key: string) => CacheEntry | undefined
    readonly set: (
      key: string,
      entry: CacheEntry,
      options: { readonly ttl?: number; readonly start: number }
    ) => unknown
    readonly delete: (key: string) => unknown
  }
}

/**
 * It brings no adapter, and the one for SQLite that its documentation names cannot be installed. This one has its three
 * documented methods, by prepared statements and without promises; in memory it is the one of its documentation. Ours
 * decodes what it reads by a schema; here nothing is checked (`checkValue`), which is quicker.
 */
const openCachified = async (folder: string): Promise<MemoSide> => {
  const { cachified, totalTtl } = await load("@epic-web/cachified") as CachifiedModule
  const { LRUCache } = await load("lru-cache") as LruModule
  const db = openDatabase(path.join(folder, "memo-cachified.db"))
  db.exec("CREATE TABLE cache (key TEXT PRIMARY KEY, metadata TEXT NOT NULL, value TEXT NOT NULL)")
  const select = db.prepare<[string], { readonly metadata: string; readonly value: string }>(
    "SELECT metadata, value FROM cache WHERE key = ?"
  )
  const upsert = db.prepare<[string, string, string]>(
    "INSERT OR REPLACE INTO cache (key, metadata, value) VALUES (?, ?, ?)"
  )
  const remove = db.prepare<[string]>("DELETE FROM cache WHERE key = ?")
  const sqlite: CachifiedCache = {
    delete: (key) => remove.run(key),
    get: (key) => {
      const row = select.get(key)
      return row && { metadata: JSON.parse(row.metadata), value: JSON.parse(row.value) }
    },
    name: "SQLite",
    set: (key, { metadata, value }) => upsert.run(key, JSON.stringify(metadata), JSON.stringify(value))
  }
  const lru = new LRUCache({ max: capacity })
  const memory: CachifiedCache = {
    delete: (key) => lru.delete(key),
    get: (key) => lru.get(key),
    name: "memory",
    set: (key, entry) => {
      const ttl = totalTtl(entry.metadata)
      return lru.set(key, entry, { ...(ttl === Infinity ? {} : { ttl }), start: entry.metadata.createdTime })
    }
  }
  const origin = new Origin()
  const call = (cache: CachifiedCache, answer: (key: string) => Answer | Promise<Answer>) => (key: string) =>
    cachified({ cache, getFreshValue: () => answer(key), key, ttl: hour })
  return {
    answerTo: call(sqlite, origin.answer),
    atOnce: allOf(call(sqlite, origin.answerLater)),
    close: async () => db.close(),
    inMemory: loopOf(call(memory, origin.answer)),
    name: "cachified",
    note: `@epic-web/cachified ${versionOf("@epic-web/cachified")}, an adapter of its three methods for ` +
      `better-sqlite3; in memory with lru-cache ${versionOf("lru-cache")} alone, as it has no layers. Values are not ` +
      "checked",
    origin,
    stored: loopOf(call(sqlite, origin.answer))
  }
}

const reads = keys.slice(0, 2000)

/** One call computes, the next one does not and has the same answer. */
const check = async ({ answerTo, name, origin }: MemoSide) => {
  const first = await answerTo("checked")
  const second = await answerTo("checked")
  if (origin.calls !== 1 || JSON.stringify(first) !== JSON.stringify(second)) {
    throw new Error(`${name} does not hold what was answered`)
  }
}

const peers: ReadonlyArray<readonly [names: ReadonlyArray<string>, open: (folder: string) => Promise<MemoSide>]> = [
  [["bentocache", "kysely"], openBento],
  [["@epic-web/cachified", "lru-cache"], openCachified],
  // A peer that the library is built with, too.
  [[], openPersistedCache]
]

export const memoizePeers = async (folder: string): Promise<void> => {
  const sides = [await openOurs(folder)]
  say("")
  for (const [names, open] of peers) {
    const missing = missingOf(names)
    if (missing !== undefined) {
      say(missing)
      continue
    }
    try {
      sides.push(await open(folder))
    } catch (error) {
      say(`${names.join(" and ")}: installed, and cannot be opened (${String(error).split("\n")[0]})`)
    }
  }
  for (const { name, note } of sides) say(`${name}: ${note}.`)
  say("")
  try {
    let fresh = 0
    const counted = new Map<string, Array<number>>()
    const rows: ReadonlyArray<readonly [name: string, runner: (side: MemoSide) => Runner]> = [
      ["hit, from SQLite", (side) => ({ operations: reads.length, run: () => side.stored(reads) })],
      ["hit, in memory", (side) => ({ operations: reads.length, run: () => side.inMemory(reads) })],
      ["miss that stores, SQLite", (side) => ({
        operations: thousand.length,
        run: () => {
          const round = fresh++
          return side.stored(thousand.map((key) => `${round}:${key}`))
        }
      })],
      [`1,000 callers of a cold key, ${delay} ms`, (side) => ({
        operations: thousand.length,
        run: async () => {
          const before = side.origin.calls
          const key = `cold:${fresh++}`
          await side.atOnce(thousand.map(() => key))
          counted.set(side.name, [...counted.get(side.name) ?? [], side.origin.calls - before])
        }
      })]
    ]
    for (const side of sides) {
      await check(side)
      await side.stored(reads)
      await side.inMemory(reads)
    }
    const races: Array<Race> = []
    for (const [name, runner] of rows) {
      const [ours = NaN, ...others] = await race(sides.map(runner))
      races.push({ name, ours, peers: others })
    }
    printRaces(sides.slice(1).map(({ name }) => name), races)
    say("")
    const most = sides.map(({ name }) => `${name} ${Math.max(...counted.get(name) ?? [])}`)
    say(`how often 1,000 callers of a cold key had the function called, at most: ${most.join(", ")}`)
  } finally {
    for (const side of sides) await side.close()
  }
}
