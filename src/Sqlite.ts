/**
 * An embedded SQLite database as a layer: opened with the settings a store needs, shared safely between the user's own
 * SQL and any number of stores, optimised and closed with its scope.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as client from "./internal/sqlite/client.js"
import * as path from "./internal/sqlite/path.js"
import { failing, Fault } from "./internal/storage/fault.js"
import type { StorageError } from "./StorageError.js"

/**
 * How a change is undone when it does not complete: `PRAGMA journal_mode`.
 *
 * @since 0.1.0
 * @category models
 */
export type JournalMode = "WAL" | "DELETE" | "TRUNCATE" | "PERSIST" | "MEMORY"

/**
 * What is waited for until it is on the disk: `PRAGMA synchronous`.
 *
 * @since 0.1.0
 * @category models
 */
export type Synchronous = "OFF" | "NORMAL" | "FULL" | "EXTRA"

/**
 * Whether the file can shrink: `PRAGMA auto_vacuum`.
 *
 * @since 0.1.0
 * @category models
 */
export type AutoVacuum = "NONE" | "FULL" | "INCREMENTAL"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The database file. `~` is the home folder; parent folders are created, for their owner only. `":memory:"` is a
   * database that lives as long as its scope.
   */
  readonly filename: string
  /**
   * How changes are made safe. `WAL` (the default) lets other processes read while one writes; every mode survives a
   * crash of the process except `MEMORY`.
   */
  readonly journalMode?: JournalMode | undefined
  /**
   * What is waited for. `NORMAL` (the default, with WAL): a power failure may lose the last commits and never corrupts;
   * `FULL`: an acknowledged write survives it.
   */
  readonly synchronous?: Synchronous | undefined
  /** How long a statement or transaction waits for other fibers and processes before it fails; 5 seconds. */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /** Bytes of pages kept in memory; the driver's default is 16 MB. */
  readonly cacheSize?: number | undefined
  /** Bytes of the file that are mapped into memory; none. */
  readonly mmapSize?: number | undefined
  /** Bytes a page, a power of two from 512 to 65,536; 4,096. Fixed when the database is created. */
  readonly pageSize?: number | undefined
  /**
   * Whether free pages can be given back to the file system: never, at every commit, or by `maintenance.compact`;
   * `INCREMENTAL`. Whether at all is fixed when the database is created.
   */
  readonly autoVacuum?: AutoVacuum | undefined
  /** Opens an existing database for reading; nothing of it is changed. */
  readonly readonly?: boolean | undefined
  /** Whether the query planner's statistics are brought up to date when the scope closes; true. */
  readonly optimizeOnClose?: boolean | undefined
}

/**
 * Opens a database for as long as the scope lives.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<SqliteClient.SqliteClient, StorageError, Scope.Scope | Reactivity.Reactivity> => client.make(options)

const context = (client: SqliteClient.SqliteClient) =>
  Context.make(SqlClient.SqlClient, client).pipe(Context.add(SqliteClient.SqliteClient, client))

/**
 * A SQLite database as the `SqlClient` of the context.
 *
 * Waiting for a lock never blocks the event loop. `sql.withTransaction` and `Storage.transaction` are the same:
 * BEGIN IMMEDIATE, savepoints when nested, rolled back on failure, defect and interruption.
 *
 * Fails as `StorageError` with reason `NotADatabase`, `Corrupt`, `Permission`, `ReadOnly`, `Busy`, `Full`,
 * `Incompatible` (a setting that the database does not take) or `Unavailable`.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect, Layer } from "effect"
 * import { KeyValueStore, Sqlite, Storage } from "effect-kv"
 *
 * const AppLive = KeyValueStore.layer().pipe(
 *   Layer.provideMerge(Storage.layer()),
 *   Layer.provideMerge(Sqlite.layer({ filename: ":memory:" }))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const kv = yield* KeyValueStore.KeyValueStore
 *   yield* sql`CREATE TABLE log (message TEXT)`
 *   // both or neither
 *   yield* sql.withTransaction(Effect.all([
 *     sql`INSERT INTO log (message) VALUES ('started')`,
 *     kv.set("state", "started")
 *   ]))
 * })
 *
 * Effect.runPromise(Effect.provide(program, AppLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<SqlClient.SqlClient | SqliteClient.SqliteClient, StorageError> =>
  Layer.provide(Layer.scopedContext(Effect.map(make(options), context)), Reactivity.layer)

/**
 * The same, with its options from `Config`.
 *
 * @example
 * ```ts
 * import { Config } from "effect"
 * import { Sqlite } from "effect-kv"
 *
 * const SqliteLive = Sqlite.layerConfig({
 *   filename: Config.string("DATABASE_FILE"),
 *   lockTimeout: Config.duration("DATABASE_LOCK_TIMEOUT").pipe(Config.withDefault("5 seconds"))
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<Options>
): Layer.Layer<SqlClient.SqlClient | SqliteClient.SqliteClient, StorageError | ConfigError> =>
  Layer.provide(
    Layer.scopedContext(Effect.map(Effect.flatMap(Config.unwrap(config), make), context)),
    Reactivity.layer
  )

const mapError = (method: string) => (error: SqlError): StorageError => failing(method)(client.toFault(error))

const statement = (method: string, text: string) =>
  Effect.flatMap(
    SqliteClient.SqliteClient,
    (client) => Effect.mapError(client.unsafe(text).unprepared, mapError(method))
  )

/**
 * Brings the query planner's statistics up to date, as closing does.
 *
 * @since 0.1.0
 * @category maintenance
 */
export const optimize: Effect.Effect<void, StorageError, SqliteClient.SqliteClient> = Effect.asVoid(
  statement("optimize", client.optimizePragma)
)

/**
 * Copies the write-ahead log into the database file and empties it. What another connection still reads is left, which
 * is no failure.
 *
 * @since 0.1.0
 * @category maintenance
 */
export const checkpoint: Effect.Effect<void, StorageError, SqliteClient.SqliteClient> = Effect.asVoid(
  statement("checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)")
)

/**
 * Rewrites the whole file without free pages. It needs as much free disk space again, nothing else runs meanwhile, and
 * it fails in a transaction.
 *
 * @since 0.1.0
 * @category maintenance
 */
export const vacuum: Effect.Effect<void, StorageError, SqliteClient.SqliteClient> = Effect.asVoid(
  statement("vacuum", "VACUUM")
)

/**
 * Reads the whole database and tells what is wrong with it, in SQLite's words; empty if nothing is.
 *
 * @since 0.1.0
 * @category maintenance
 */
export const integrityCheck: Effect.Effect<ReadonlyArray<string>, StorageError, SqliteClient.SqliteClient> = Effect.map(
  statement("integrityCheck", "PRAGMA integrity_check"),
  (rows) => rows.flatMap((row) => Object.values(row)).map(String).filter((message) => message !== "ok")
)

/**
 * Copies the database to another file while it is in use, replacing the database that was there; parent folders are
 * made. Timers and other work of the process go on; operations on this database wait until the copy is done, and fail as
 * `Busy` if that takes longer than their `lockTimeout`.
 *
 * @since 0.1.0
 * @category maintenance
 */
export const backup = (filename: string): Effect.Effect<void, StorageError, SqliteClient.SqliteClient> =>
  Effect.flatMap(SqliteClient.SqliteClient, (client) => {
    const file = path.resolve(filename)
    if (file === path.memory) {
      return Effect.fail(
        failing("backup")(new Fault("Unavailable", "a backup in memory would be gone at once; name a file"))
      )
    }
    return Effect.zipRight(
      Effect.mapError(path.prepare(file), failing("backup")),
      Effect.asVoid(Effect.mapError(client.backup(file), mapError("backup")))
    )
  })
