/**
 * What the SQL engine has to be told about a database: its statements, and what its errors mean. A dialect is the only
 * place that knows which database it is.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type { Entry, Value } from "../../Storage.js"
import type { Fault } from "./fault.js"
import type { Bounds } from "./range.js"

/**
 * The tables that say which others there are: the version of all of them, and the keyspaces.
 *
 * @internal
 */
export const migrationsTable = "kv_migrations"

/** @internal */
export const catalogTable = "kv_catalog"

/** @internal */
export type Query = readonly [text: string, params: ReadonlyArray<unknown>]

/** @internal */
export interface Row {
  readonly [column: string]: unknown
}

/**
 * The statements of one keyspace. `now` is milliseconds since the epoch, and rows with `expires_at <= now` are absent.
 *
 * The sweeper finds rows by an index on `sweep_at`, the time to look at them: never later than `expires_at`, and often
 * earlier. So what prolongs a life, as most writes of a store with a time to live do, leaves the index alone, which costs
 * more to change than the row. The sweeper puts `sweep_at` right when it comes by.
 *
 * @internal
 */
export interface Queries<K> {
  /** Rows: `value`, `expires_at`. */
  readonly get: (key: K, now: number) => Query
  /** Rows: `expires_at`. */
  readonly head: (key: K, now: number) => Query
  /** Rows: as of `get`, with `position` in `keys`, once for each; or with `key`, once for all that are the same. */
  readonly getMany: (keys: ReadonlyArray<K>, now: number) => Query
  /** As `get`, of expired rows too. Until the end of the transaction nobody else locks or writes the key, there or not. */
  readonly lock: (key: K, now: number) => Query
  /**
   * May leave out an entry for which `sweep_at` would be too late. `alone`: outside of a transaction, which has said how
   * long to wait for a lock.
   */
  readonly set: (entry: Entry<K>, alone: boolean) => Query
  /** With `sweep_at`. */
  readonly setMany: (entries: ReadonlyArray<Entry<K>>) => ReadonlyArray<Query>
  /** Rows: `expires_at` of what was deleted, expired or not. */
  readonly remove: (key: K, alone: boolean) => Query
  readonly removeMany: (keys: ReadonlyArray<K>) => Query
  /** Rows: `key`, `value`, `expires_at`, in any order. */
  readonly take: (bounds: Bounds<K>, now: number) => Query
  /** Rows: `key`, `value`, `expires_at`. */
  readonly entries: (bounds: Bounds<K>, now: number) => Query
  /** Rows: `key`. */
  readonly keys: (bounds: Bounds<K>, now: number) => Query
  /** One row: `entries`, `bytes`. */
  readonly stat: (bounds: Bounds<K>, now: number) => Query
  readonly clear: (bounds: Bounds<K>, now: number) => Clearing
  /** Of the first rows that are to be looked at, deletes those that have expired. Rows: one for each. */
  readonly removeExpired: (now: number, limit: number) => Query
  /** Of the first rows that are to be looked at, has those that live be looked at when they expire. Rows: one for each. */
  readonly postpone: (now: number, limit: number) => Query
}

/**
 * How all rows in some bounds are deleted, expired or not: together, with a row in one of the answers: `entries`, how many
 * had not expired; or, where that would keep others waiting, up to so many at a time. Rows then: `expires_at`.
 *
 * @internal
 */
export type Clearing =
  | { readonly _tag: "Together"; readonly queries: ReadonlyArray<Query> }
  | { readonly _tag: "Sliced"; readonly slice: (limit: number) => Query }

/** @internal */
export interface Table<K> {
  readonly create: ReadonlyArray<string>
  readonly queries: Queries<K>
  /** Makes the statements that matter ready, so that no later one is compiled while the database is locked. */
  readonly prepare: (connection: Connection) => Effect.Effect<void, SqlError>
}

/**
 * What has to be known of a kind of database before it is asked anything.
 *
 * @internal
 */
export interface Kind {
  readonly classify: (error: SqlError) => Fault
  /** Whether there is one connection only: nobody else does anything while it is in a transaction. */
  readonly single: boolean
  readonly dialect: (connection: Connection) => Effect.Effect<Dialect, SqlError | Fault>
}

/** @internal */
export interface Dialect extends Omit<Kind, "dialect"> {
  /** The name of the database system, as OpenTelemetry has it. */
  readonly system: string
  readonly begin: string
  readonly beginSerializable: string
  /** Fails if what was done in the transaction is not kept. */
  readonly commit: (connection: Connection) => Effect.Effect<void, SqlError>
  readonly rollback: string
  /** Tells in which transaction it is, if more than one of them can follow on a connection that somebody still has. */
  readonly savepoint: (connection: Connection, name: string) => Effect.Effect<string, SqlError>
  readonly release: (name: string) => string
  readonly rollbackTo: (name: string) => string
  /** Whether a transaction is open on the connection. */
  readonly isOpen: (connection: Connection) => Effect.Effect<boolean>
  /** Whether one transaction for many writes is cheaper than a connection for each. */
  readonly coalesce: boolean
  /** The same connection, compiling each statement anew. */
  readonly compiling: (connection: Connection) => Connection
  /** The same connection, compiling anew what the client remembers as not to be compiled. */
  readonly recompiling: (connection: Connection) => Connection
  /** Why this database cannot hold what the waist promises, if so. */
  readonly check: (connection: Connection) => Effect.Effect<Fault | undefined, SqlError>
  /** The name of a table of ours as SQL has it. */
  readonly qualified: (table: string) => string
  /** Rows: one if the table exists. */
  readonly hasTable: (table: string) => Query
  /** Rows: `id` and `keys` of the keyspace. */
  readonly findKeyspace: (name: string) => Query
  /** As `findKeyspace`; fails if it is there. */
  readonly addKeyspace: (name: string, keys: string) => Query
  /** Gives some of the free room back to the file system; tells how many pages are still free. */
  readonly reclaim: (connection: Connection) => Effect.Effect<number, SqlError>
  /** Outside of a transaction: brings what was written to its place before there is much of it. */
  readonly settle: (connection: Connection) => Effect.Effect<unknown, SqlError>
  /** Schema changes of the catalog and of the tables in it, oldest first. They are never edited, only added to. */
  readonly migrations: ReadonlyArray<(tables: ReadonlyArray<string>) => ReadonlyArray<string>>
  readonly textTable: (name: string) => Table<string>
  readonly bytesTable: (name: string) => Table<Uint8Array>
  /** The value in a row that has the columns that `get` has. */
  readonly toValue: (row: Row) => Value
  /** Why the database could not hold the value, if that has to be known before. */
  readonly valueIssue: (value: Value) => string | undefined
  /** How many rows were written, by what the driver answers. */
  readonly written: (result: unknown) => number
}
