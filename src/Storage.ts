/**
 * The waist: ordered, expiring, transactional entries of text or bytes, on any engine.
 *
 * Stores are written once over this interface and know no SQL; engines are written once under it and know no schema.
 * Most programs use it only to choose an engine (`Storage.layer` over a `SqlClient`, `Storage.layerMemory`) and to open
 * a transaction over several stores.
 *
 * @since 0.1.0
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { makeMemory } from "./internal/storage/memory.js"
import * as internal from "./internal/storage/metrics.js"
import { makeSql } from "./internal/storage/sql.js"
import * as transfer from "./internal/storage/transfer.js"
import type { ImportError, InvalidKey, StorageError } from "./StorageError.js"

/**
 * What is stored. Text stays text and bytes stay bytes.
 *
 * @since 0.1.0
 * @category models
 */
export type Value = string | Uint8Array

/**
 * A key with its value and the time, in milliseconds since the epoch, from which it no longer exists.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry<K = string> {
  readonly key: K
  readonly value: Value
  /** The entry is there while `now < expiresAt`. Undefined: it does not expire. */
  readonly expiresAt: number | undefined
}

/**
 * Which keys, in which order. Bounds combine: what is left must satisfy all of them. Order is the byte order of UTF-8.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range<K = string> {
  /** Keys that begin with this. */
  readonly prefix?: K | undefined
  /** Keys from this one on, inclusive. */
  readonly from?: K | undefined
  /** Keys before this one, exclusive. */
  readonly to?: K | undefined
  /** Keys up to this one, inclusive. */
  readonly through?: K | undefined
  /** Keys that come after this one in the direction of reading: where the last page ended. */
  readonly after?: K | undefined
  /** From the greatest key to the least. */
  readonly reverse?: boolean | undefined
  /** At most so many. */
  readonly limit?: number | undefined
}

/**
 * What a `modify` does to its entry, and which others it puts along with it.
 *
 * @since 0.1.0
 * @category models
 */
export type Change<K = never> =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Remove" }
  | {
    readonly _tag: "Put"
    readonly value: Value
    readonly expiresAt: number | undefined
    readonly others?: ReadonlyArray<Entry<K>> | undefined
  }

/**
 * Leaves the entry as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const keep: Change = { _tag: "Keep" }

/**
 * Removes the entry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const remove: Change = { _tag: "Remove" }

/**
 * Writes the value, with the time from which it no longer exists (milliseconds since the epoch), if any; and other entries
 * along with it, all or none. Of equal keys the last wins, also over that of the `modify`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const put = <K = never>(
  value: Value,
  expiresAt?: number,
  others?: ReadonlyArray<Entry<K>>
): Change<K> => ({ _tag: "Put", value, expiresAt, others })

/**
 * How much there is in a range: entries, and the bytes of their keys and values.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stat {
  readonly entries: number
  readonly bytes: number
}

/**
 * What one slice of a sweep did.
 *
 * @since 0.1.0
 * @category models
 */
export interface Slice {
  /** How many expired entries it removed. */
  readonly removed: number
  /** Whether there may be more to look at. */
  readonly more: boolean
}

/**
 * A named, ordered collection of entries. An expired entry is absent to every operation, and reading never writes.
 *
 * Every method fails with `StorageError` when the engine does, and with `InvalidKey` for a key or bound longer than
 * 2,048 bytes of UTF-8 or holding NUL or a lone surrogate. A write is done whole or not at all, also when its fiber is
 * interrupted. In a transaction (`Storage.transaction`, or `withTransaction` of the same client) operations are part of
 * it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keyspace<K extends string | Uint8Array = string> {
  readonly name: string
  readonly get: (key: K) => Effect.Effect<Option.Option<Entry<K>>, StorageError | InvalidKey>
  /** What is known of an entry without reading its value. */
  readonly head: (key: K) => Effect.Effect<Option.Option<Pick<Entry, "expiresAt">>, StorageError | InvalidKey>
  /**
   * Aligned with its input: the nth answer is for the nth key. Any number of keys, duplicates too; beyond 10,000 it takes
   * several statements, which only a transaction makes one snapshot.
   */
  readonly getMany: (
    keys: Iterable<K>
  ) => Effect.Effect<Array<Option.Option<Entry<K>>>, StorageError | InvalidKey>
  /** Upsert: inserts the entry or replaces it, with its expiry. */
  readonly set: (key: K, value: Value, expiresAt?: number) => Effect.Effect<void, StorageError | InvalidKey>
  /** Upserts all or none. Of several entries with the same key the last wins. */
  readonly setMany: (entries: Iterable<Entry<K>>) => Effect.Effect<void, StorageError | InvalidKey>
  /**
   * The atomic read-modify-write. `f` must be pure and quick: an engine may run it again after a lost race, and only
   * the last run counts. If `f` throws, nothing is written and the fiber dies.
   */
  readonly modify: <A>(
    key: K,
    f: (entry: Option.Option<Entry<K>>) => readonly [A, Change<K>]
  ) => Effect.Effect<A, StorageError | InvalidKey>
  /** Whether there was something to remove. */
  readonly remove: (key: K) => Effect.Effect<boolean, StorageError | InvalidKey>
  /** How many there were to remove; all or none of them are. */
  readonly removeMany: (keys: Iterable<K>) => Effect.Effect<number, StorageError | InvalidKey>
  /** Removes the first entries of the range and gives each of them to exactly one caller, in order. */
  readonly take: (range: Range<K>, limit: number) => Effect.Effect<Array<Entry<K>>, StorageError | InvalidKey>
  /** The first entries of the range, in order, in one go: at most `limit`, and at most the limit of the range. */
  readonly peek: (range: Range<K>, limit: number) => Effect.Effect<Array<Entry<K>>, StorageError | InvalidKey>
  /**
   * The entries of a range in order, read page by page; nothing is held between pages. What is there throughout is seen
   * exactly once; what comes or goes meanwhile may or may not be seen.
   */
  readonly entries: (range?: Range<K>) => Stream.Stream<Entry<K>, StorageError | InvalidKey>
  readonly keys: (range?: Range<K>) => Stream.Stream<K, StorageError | InvalidKey>
  /** How much a range holds. The range's limit does not apply. */
  readonly stat: (range?: Range<K>) => Effect.Effect<Stat, StorageError | InvalidKey>
  /** Removes a range, all or nothing, and tells how many entries that were. The range's limit does not apply. */
  readonly clear: (range?: Range<K>) => Effect.Effect<number, StorageError | InvalidKey>
  /** Looks at up to `limit` entries that may have expired, and frees the room of those that have. */
  readonly removeExpired: (options: { readonly limit: number }) => Effect.Effect<Slice, StorageError>
}

/**
 * How the sweeper of a Storage removes expired entries in the background. They are absent to every operation from the
 * moment they expire; sweeping only frees their room.
 *
 * @since 0.1.0
 * @category models
 */
export interface SweepOptions {
  /** The pause before the first sweep and between two; 1 minute. It is 1 millisecond or more. */
  readonly interval?: Duration.DurationInput | undefined
  /** How many entries one slice looks at, at most; 64. A slice that takes long makes the next one smaller. */
  readonly batchSize?: number | undefined
}

/**
 * A keyspace that exists, with the kind of its keys.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyspaceInfo {
  readonly name: string
  readonly keys: "text" | "bytes"
}

/**
 * Work on the whole store that no program needs to do, and operators sometimes want.
 *
 * @since 0.1.0
 * @category models
 */
export interface Maintenance {
  /** Returns when every write that was asked for before is done. */
  readonly flush: Effect.Effect<void, StorageError>
  /** Removes expired entries of all opened keyspaces, in slices, and gives free room back; tells how many went. */
  readonly compact: Effect.Effect<number, StorageError>
  /** Has the background sweeper run with these settings from now on, in place of any before. */
  readonly sweeper: (options: SweepOptions) => Effect.Effect<void, StorageError>
  /**
   * The keyspaces there are, in the byte order of their names: in a database all of them, whoever created them; in
   * memory those that were opened.
   */
  readonly keyspaces: Effect.Effect<ReadonlyArray<KeyspaceInfo>, StorageError>
  /** How much each opened keyspace holds. */
  readonly stats: Effect.Effect<ReadonlyArray<Stat & { readonly keyspace: string }>, StorageError>
}

/**
 * The service that every store stands on: keyspaces by name, transactions over all of them, maintenance.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const storage = yield* Storage.Storage
 *   const accounts = yield* storage.keyspace("accounts")
 *   const add = (key: string, amount: number) =>
 *     accounts.modify(key, (entry) => {
 *       const balance = amount + Number(Option.match(entry, { onNone: () => 0, onSome: (_) => _.value }))
 *       return [balance, Storage.put(String(balance))]
 *     })
 *   yield* add("alice", 100)
 *   // both or neither
 *   yield* storage.transaction(Effect.all([add("alice", -30), add("bob", 30)]))
 *   return yield* accounts.stat()
 * })
 *
 * Effect.runPromise(Effect.provide(program, Storage.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class Storage extends Context.Tag("effect-kv/Storage")<Storage, {
  /**
   * Opens a keyspace, creating it if need be. Any string is a name, and two names are the same keyspace only if they
   * are equal. The kind of keys is fixed when it is created.
   */
  readonly keyspace: {
    (name: string, options?: { readonly keys?: "text" | undefined }): Effect.Effect<Keyspace, StorageError>
    (name: string, options: { readonly keys: "bytes" }): Effect.Effect<Keyspace<Uint8Array>, StorageError>
  }
  /**
   * Runs the effect in a serializable transaction: committed if it succeeds, rolled back if it fails, dies or is
   * interrupted. In a transaction it is a savepoint of that one. Other work on an embedded database waits meanwhile, so
   * keep the body short.
   *
   * The body runs once; with `retry` it runs again when the transaction could not be had or was lost to a conflict with
   * another one: on a schedule of yours, or with `true` for as long as `lockTimeout`, after short pauses. On PostgreSQL
   * conflicts are a part of life, so ask for it where the body can run twice.
   */
  readonly transaction: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: { readonly retry?: Schedule.Schedule<unknown> | boolean | undefined }
  ) => Effect.Effect<A, E | StorageError, R>
  readonly maintenance: Maintenance
}>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** When expired entries are removed in the background; `false`: never, only by `maintenance.compact`. */
  readonly sweep?: SweepOptions | false | undefined
  /**
   * How long an operation waits for a lock, or for a connection, before it fails as `Busy`; 5 seconds. A client of
   * `Sqlite.layer` brings its own. On another client the first Storage decides, and the wait for the one connection of a
   * bare `SqliteClient` is that client's.
   */
  readonly lockTimeout?: Duration.DurationInput | undefined
}

/**
 * What is counted, by keyspace (the label `keyspace`), over all Storages of the process: `hits` and `misses` of reads by
 * key; `writes`, the entries that were set or removed; `expirations`, the expired entries that were removed;
 * `sweepDuration` and `lockWait` as histograms in milliseconds. The wait of a transaction, or of a commit that several
 * writes share, has no keyspace.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import { KeyValueStore, Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kv = yield* KeyValueStore.KeyValueStore
 *   yield* kv.get("greeting")
 *   return yield* Metric.value(Metric.tagged(Storage.metrics.misses, "keyspace", "default"))
 * })
 *
 * Effect.runPromise(Effect.provide(program, KeyValueStore.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category observability
 */
export const metrics: {
  readonly expirations: Metric.Metric.Counter<number>
  readonly hits: Metric.Metric.Counter<number>
  readonly lockWait: Metric.Metric.Histogram<number>
  readonly misses: Metric.Metric.Counter<number>
  readonly sweepDuration: Metric.Metric.Histogram<number>
  readonly writes: Metric.Metric.Counter<number>
} = internal.metrics

/**
 * Storage on the `SqlClient` of the context, in tables of its own (`kv_...`). The engine is the client's: SQLite or
 * PostgreSQL.
 *
 * With the client of `Sqlite.layer`, the user's own SQL and all stores share one gate and one transaction. A bare
 * `SqliteClient.layer` is correct as well, and slower.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Sqlite, Storage } from "effect-kv"
 *
 * const StorageLive = Storage.layer().pipe(
 *   Layer.provideMerge(Sqlite.layer({ filename: ":memory:" }))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const storage = yield* Storage.Storage
 *   const keyspace = yield* storage.keyspace("settings")
 *   yield* keyspace.set("theme", "dark")
 * })
 *
 * Effect.runPromise(Effect.provide(program, StorageLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Storage, StorageError, SqlClient.SqlClient> =>
  Layer.scoped(Storage, makeSql(options))

/**
 * Storage in memory, with the meaning of every other engine, for tests and for what need not outlive the process.
 * As a value it is one Storage for all layers built from it together; two stores' own `layerMemory` are two.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Storage> = Layer.scoped(Storage, makeMemory)

/**
 * @since 0.1.0
 * @category models
 */
export interface ExportOptions {
  /** The names of those that are exported; all that there are. One that does not exist fails as `Unavailable`. */
  readonly keyspaces?: ReadonlyArray<string> | undefined
}

/**
 * Every live entry as text: lines of JSON, each with its line end, which any program can read and `importEntries` takes.
 * Nothing is lost: keys and values of text or bytes, expiry, and names of keyspaces come back as they were, on any
 * engine. Two stores with the same content have the same export.
 *
 * It is read page by page, so memory does not grow with it. What is there throughout is in it; what comes or goes
 * meanwhile may or may not be. In a transaction it is one snapshot, and other work may have to wait until it is read.
 *
 * @example
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const storage = yield* Storage.Storage
 *   const settings = yield* storage.keyspace("settings")
 *   yield* settings.set("theme", "dark")
 *   yield* settings.set("salt", new Uint8Array([1, 2, 3]), 4102444800000)
 *   yield* Stream.runForEach(Storage.exportEntries(), (line) => Console.log(line.trimEnd()))
 *   // {"format":"effect-kv","version":1}
 *   // {"keyspace":"settings","keys":"text"}
 *   // {"key":"salt","value":{"base64":"AQID"},"expiresAt":4102444800000}
 *   // {"key":"theme","value":"dark"}
 *   // {"entries":2}
 * })
 *
 * Effect.runPromise(Effect.provide(program, Storage.layerMemory))
 * ```
 *
 * @since 0.1.0
 * @category moving data
 */
export const exportEntries = (options?: ExportOptions): Stream.Stream<string, StorageError, Storage> =>
  Stream.unwrap(Effect.map(Storage, (storage) => transfer.exportEntries(storage, options)))

/**
 * @since 0.1.0
 * @category models
 */
export interface ImportOptions {
  /** What becomes of an entry that is there under the same key: `"replace"`, the default, or `"keep"`. */
  readonly existing?: "replace" | "keep" | undefined
}

/**
 * What an import did, in entries.
 *
 * @since 0.1.0
 * @category models
 */
export interface Imported {
  /** Those that were written. */
  readonly imported: number
  /** Those that have expired since they were exported, and were left out. */
  readonly expired: number
  /** Those that were left out because their key was taken. */
  readonly kept: number
}

/**
 * Writes what `exportEntries` gave, and creates its keyspaces if need be. Other entries stay. To do it twice is the same
 * as to do it once.
 *
 * The text comes as strings or as UTF-8, in pieces of any size. It is written in batches, so memory does not grow with
 * it. What cannot be read, or is not all there, fails as `ImportError`, which tells the line. What comes before it is
 * imported then. For all or nothing, import in a transaction.
 *
 * @example
 * ```ts
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { Sqlite, Storage } from "effect-kv"
 *
 * const Copy = Storage.layer().pipe(Layer.provide(Sqlite.layer({ filename: ":memory:" })))
 *
 * const program = Effect.gen(function*() {
 *   const here = yield* Storage.Storage
 *   const settings = yield* here.keyspace("settings")
 *   yield* settings.set("theme", "dark")
 *   const lines = Stream.provideService(Storage.exportEntries(), Storage.Storage, here)
 *   const { imported } = yield* Effect.provide(Storage.importEntries(lines), Copy)
 *   yield* Console.log(imported)
 * })
 *
 * Effect.runPromise(Effect.provide(program, Storage.layerMemory))
 * ```
 *
 * @since 0.1.0
 * @category moving data
 */
export const importEntries = <E, R>(
  text: Stream.Stream<string | Uint8Array, E, R>,
  options?: ImportOptions
): Effect.Effect<Imported, E | ImportError | StorageError, R | Storage> =>
  Effect.flatMap(Storage, (storage) => transfer.importEntries(storage, text, options))
