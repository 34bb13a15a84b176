/**
 * SQLite's dialect.
 *
 * Tables are rowid tables with a text or blob key, STRICT so that a number cannot slip in, and with the expiry before
 * the value so that reading it never touches overflow pages. Parameters are anonymous (`?`): the driver binds by
 * position only.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Entry } from "../../Storage.js"
import { type Dialect, type Queries, type Query, type Table } from "./dialect.js"
import { type Causes, Fault, findCause, messageOf } from "./fault.js"
import type { Bounds } from "./range.js"

const live = "(expires_at IS NULL OR expires_at > ?)"

/** How many rows one INSERT takes. A few sizes, so that there are few texts to compile. */
const insertSizes = [500, 50, 5, 1]

/** How many pages one slice of `reclaim` frees. */
const reclaimed = 100

const where = <K>({ lower, upper }: Bounds<K>, ...more: ReadonlyArray<string>): string => {
  const conditions = [
    ...(lower === undefined ? [] : [`key ${lower.inclusive ? ">=" : ">"} ?`]),
    ...(upper === undefined ? [] : [`key ${upper.inclusive ? "<=" : "<"} ?`]),
    ...more
  ]
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`
}

const boundParams = <K>({ lower, upper }: Bounds<K>): Array<unknown> => [
  ...(lower === undefined ? [] : [lower.key]),
  ...(upper === undefined ? [] : [upper.key])
]

/** SQLite reads a negative limit as none. */
const limitParam = (limit: number): number => limit === Infinity ? -1 : limit

/**
 * A limit that is a parameter alone has SQLite look into it when it compiles, and so compile the statement again whenever
 * it is given another. That takes longer than a short statement itself.
 */
const limited = "LIMIT ? + 0"

const ordered = <K>({ reverse }: Bounds<K>): string => `ORDER BY key${reverse ? " DESC" : ""} ${limited}`

/** `one` is how the value of a JSON array is turned into a key. */
const makeQueries = <K>(table: string, one: string, toJson: (keys: ReadonlyArray<K>) => string): Queries<K> => {
  const get = `SELECT value, expires_at FROM ${table} WHERE key = ? AND ${live}`
  const head = `SELECT expires_at FROM ${table} WHERE key = ? AND ${live}`
  const getMany = `SELECT list.key AS position, entry.value, expires_at FROM json_each(?) AS list ` +
    `CROSS JOIN ${table} AS entry ON entry.key = ${one} WHERE ${live}`
  const insert = (size: number, columns: string, row: string): string =>
    `INSERT INTO ${table} (${columns}) VALUES ${Array(size).fill(row).join(", ")} ` +
    "ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value"
  const lasting = (size: number) => insert(size, "key, value", "(?, ?)")
  const expiring = (size: number) => insert(size, "key, expires_at, sweep_at, value", "(?, ?, ?, ?)")
  const inserts = insertSizes.map((size) => ({
    expiring: `${expiring(size)}, sweep_at = excluded.sweep_at`,
    lasting: lasting(size),
    size
  }))
  const setLasting = lasting(1)
  const set = `${expiring(1)} WHERE ${table}.sweep_at <= excluded.expires_at`
  const remove = `DELETE FROM ${table} WHERE key = ? RETURNING expires_at`
  const removeMany = `DELETE FROM ${table} WHERE key IN (SELECT ${one} FROM json_each(?) AS list) RETURNING expires_at`
  const due = `SELECT rowid AS id, expires_at FROM ${table} WHERE sweep_at <= ? ORDER BY sweep_at ${limited}`
  const removeExpired = `DELETE FROM ${table} WHERE rowid IN (SELECT id FROM (${due}) WHERE expires_at <= ?) ` +
    "RETURNING 1 AS gone"
  const postpone = `UPDATE ${table} SET sweep_at = expires_at WHERE rowid IN (` +
    `SELECT id FROM (${due}) WHERE expires_at IS NULL OR expires_at > ?) RETURNING 1 AS postponed`
  const stat = (bounds: Bounds<K>, now: number): Query => [
    `SELECT count(*) AS entries, coalesce(sum(octet_length(key) + octet_length(value)), 0) AS bytes ` +
    `FROM ${table} ${where(bounds, live)}`,
    [...boundParams(bounds), now]
  ]
  return {
    clear: (bounds, now) =>
      bounds.lower === undefined && bounds.upper === undefined
        ? { _tag: "Together", queries: [stat(bounds, now), [`DELETE FROM ${table}`, []]] }
        : {
          _tag: "Sliced",
          slice: (limit) => [
            `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} ${
              where(bounds)
            } ${limited}) RETURNING expires_at`,
            [...boundParams(bounds), limit]
          ]
        },
    entries: (bounds, now) => [
      `SELECT key, value, expires_at FROM ${table} ${where(bounds, live)} ${ordered(bounds)}`,
      [...boundParams(bounds), now, limitParam(bounds.limit)]
    ],
    get: (key, now) => [get, [key, now]],
    head: (key, now) => [head, [key, now]],
    lock: (key, now) => [get, [key, now]],
    getMany: (keys, now) => [getMany, [toJson(keys), now]],
    keys: (bounds, now) => [
      `SELECT key FROM ${table} ${where(bounds, live)} ${ordered(bounds)}`,
      [...boundParams(bounds), now, limitParam(bounds.limit)]
    ],
    remove: (key) => [remove, [key]],
    postpone: (now, limit) => [postpone, [now, limitParam(limit), now]],
    removeExpired: (now, limit) => [removeExpired, [now, limitParam(limit), now]],
    removeMany: (keys) => [removeMany, [toJson(keys)]],
    set: ({ expiresAt, key, value }) =>
      expiresAt === undefined
        ? [setLasting, [key, value]]
        : [set, [key, expiresAt, expiresAt, value]],
    setMany: (entries) => {
      const expires = entries.some(({ expiresAt }) => expiresAt !== undefined)
      const queries: Array<Query> = []
      let at = 0
      for (const { expiring, lasting, size } of inserts) {
        for (; at + size <= entries.length; at += size) {
          const params: Array<unknown> = []
          for (const { expiresAt = null, key, value } of entries.slice(at, at + size)) {
            if (expires) params.push(key, expiresAt, expiresAt, value)
            else params.push(key, value)
          }
          queries.push([expires ? expiring : lasting, params])
        }
      }
      return queries
    },
    stat,
    take: (bounds, now) => [
      `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} ${where(bounds, live)} ${ordered(bounds)}) ` +
      `RETURNING key, value, expires_at`,
      [...boundParams(bounds), now, limitParam(bounds.limit)]
    ]
  }
}

const sweepIndex = (table: string): string =>
  `CREATE INDEX ${table}_sweep ON ${table} (sweep_at) WHERE sweep_at IS NOT NULL`

const makeTable = <K>(
  table: string,
  keyType: string,
  queries: Queries<K>,
  example: K
): Table<K> => ({
  create: [
    `CREATE TABLE ${table} (` +
    `key ${keyType} NOT NULL PRIMARY KEY, expires_at INTEGER, sweep_at INTEGER, value ANY NOT NULL) STRICT`,
    sweepIndex(table)
  ],
  queries,
  prepare: (connection) => {
    const lasting: Entry<K> = { expiresAt: undefined, key: example, value: "" }
    const expiring: Entry<K> = { ...lasting, expiresAt: 0 }
    const texts = [
      queries.get(example, 0),
      queries.head(example, 0),
      queries.getMany([], 0),
      queries.set(lasting, true),
      queries.set(expiring, true),
      // Those of many that expire are compiled at the first use: they take a millisecond, and few keyspaces have both.
      ...queries.setMany([expiring]),
      ...insertSizes.flatMap((size) => queries.setMany(Array<Entry<K>>(size).fill(lasting))),
      queries.remove(example, true),
      queries.removeMany([]),
      queries.removeExpired(0, 0),
      queries.postpone(0, 0)
    ].map(([text]) => text)
    // Loads the schema, so that compiling needs no lock any more.
    const load = compiling(connection).execute(`SELECT 1 FROM ${table} LIMIT 1`, [], undefined)
    // Compiled and kept by the client; that parameters are missing is found out only after that.
    const compile = Effect.forEach(
      new Set(texts),
      (text) =>
        Effect.catchIf(
          connection.execute(text, [], undefined),
          ({ cause }) => cause instanceof RangeError,
          () => Effect.void
        ),
      { discard: true }
    )
    return Effect.zipRight(load, compile)
  }
})

const hex = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("hex")

/** The same connection but for what is said. It may be an object of a class: that cannot be spread. */
const like = (connection: Connection, own: Partial<Connection>): Connection => ({
  execute: (sql, params, transformRows) => connection.execute(sql, params, transformRows),
  executeRaw: (sql, params) => connection.executeRaw(sql, params),
  executeStream: (sql, params, transformRows) => connection.executeStream(sql, params, transformRows),
  executeUnprepared: (sql, params, transformRows) => connection.executeUnprepared(sql, params, transformRows),
  executeValues: (sql, params) => connection.executeValues(sql, params),
  ...own
})

const compiling = (connection: Connection): Connection =>
  like(connection, {
    execute: (sql, params, transformRows) =>
      Effect.suspend(() => {
        try {
          return connection.executeUnprepared(sql, params, transformRows)
        } catch (cause) {
          return Effect.fail(new SqlError({ cause, message: notCompiled }))
        }
      })
  })

/**
 * The client keeps compiled statements by their text, and failures to compile as well: of a table that was not there
 * yet, of a lock. Those are tried again.
 */
const recompiling = (connection: Connection): Connection => {
  const anew = compiling(connection)
  const again = <A>(self: Effect.Effect<A, SqlError>, orElse: () => Effect.Effect<A, SqlError>) =>
    Effect.catchAll(self, (error) => error.message === notCompiled ? orElse() : Effect.fail(error))
  return like(connection, {
    execute: (sql, params, transformRows) =>
      again(connection.execute(sql, params, transformRows), () => anew.execute(sql, params, transformRows)),
    // The rows of what has none: whoever asks how many were written is told that it was none.
    executeRaw: (sql, params) => again(connection.executeRaw(sql, params), () => anew.execute(sql, params, undefined))
  })
}

/** How the client words that a statement could not be compiled. */
const notCompiled = "Failed to prepare statement "

/** @internal */
export const sqlite: Dialect = {
  addKeyspace: (name, keys) => ["INSERT INTO kv_catalog (name, keys) VALUES (?, ?) RETURNING id, keys", [name, keys]],
  begin: "BEGIN IMMEDIATE",
  beginSerializable: "BEGIN IMMEDIATE",
  bytesTable: (table) =>
    makeTable<Uint8Array>(
      table,
      "BLOB",
      makeQueries(table, "unhex(list.value)", (keys) => JSON.stringify(keys.map(hex))),
      new Uint8Array()
    ),
  check: (connection) =>
    Effect.map(connection.execute("PRAGMA encoding", [], undefined), (rows) => {
      const encoding = rows[0]?.encoding
      return encoding === "UTF-8" ? undefined : new Fault(
        "Incompatible",
        `the database keeps text as ${encoding}, in which keys have another order; use a database in UTF-8`
      )
    }),
  classify: (error) => {
    if (error.cause instanceof Fault) return error.cause
    const { cause, detail, reason } = classify(error.cause, error)
    return new Fault(reason, detail, cause, error.message === notCompiled ? "remembered" : undefined)
  },
  coalesce: true,
  commit: (connection) => Effect.asVoid(compiling(connection).execute("COMMIT", [], undefined)),
  compiling,
  findKeyspace: (name) => ["SELECT id, keys FROM kv_catalog WHERE name = ?", [name]],
  hasTable: (name) => ["SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", [name]],
  // SQLite has no other way to tell: a BEGIN that succeeds shows that no transaction was open.
  isOpen: (connection) =>
    Effect.matchEffect(compiling(connection).execute("BEGIN", [], undefined), {
      onFailure: () => Effect.succeed(true),
      onSuccess: () => Effect.as(Effect.ignore(compiling(connection).execute("ROLLBACK", [], undefined)), false)
    }),
  migrations: [
    () => [
      "CREATE TABLE kv_catalog (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, keys TEXT NOT NULL) STRICT"
    ],
    (tables) =>
      tables.flatMap((table) => [
        `ALTER TABLE ${table} ADD COLUMN sweep_at INTEGER`,
        `UPDATE ${table} SET sweep_at = expires_at WHERE expires_at IS NOT NULL`,
        `DROP INDEX ${table}_expiry`,
        sweepIndex(table)
      ])
  ],
  qualified: (table) => table,
  recompiling,
  // One run frees one page, and none where auto_vacuum is off.
  reclaim: (connection) => {
    const free = Effect.map(
      connection.execute("PRAGMA freelist_count", [], undefined),
      ([row]) => Number(row?.freelist_count)
    )
    const pages = (count: number) =>
      Effect.replicateEffect(connection.execute("PRAGMA incremental_vacuum(1)", [], undefined), count, {
        discard: true
      })
    return Effect.flatMap(free, (count) => Effect.zipRight(pages(Math.min(count, reclaimed)), free))
  },
  release: (name) => `RELEASE SAVEPOINT ${name}`,
  rollback: "ROLLBACK",
  rollbackTo: (name) => `ROLLBACK TO SAVEPOINT ${name}`,
  savepoint: (connection, name) => Effect.as(compiling(connection).execute(`SAVEPOINT ${name}`, [], undefined), ""),
  // Left to SQLite, the log is copied a thousand pages at a time, while the event loop waits.
  settle: (connection) => connection.execute("PRAGMA wal_checkpoint(PASSIVE)", [], undefined),
  single: true,
  system: "sqlite",
  textTable: (table) =>
    makeTable<string>(table, "TEXT", makeQueries(table, "list.value", (keys) => JSON.stringify(keys)), ""),
  // The driver gives a Buffer; a plain Uint8Array over the same memory is what other engines give.
  toValue: ({ value }) =>
    value instanceof Uint8Array ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : String(value),
  // It says so itself.
  valueIssue: () => undefined,
  written: (result) => typeof result === "object" && result !== null && "changes" in result ? Number(result.changes) : 0
}

const causes: Causes = [
  [/^SQLITE_(BUSY|PROTOCOL)/, "Busy", "another connection holds the lock"],
  [/^SQLITE_LOCKED/, "Busy", "something that is still open on this connection, a transaction perhaps, is in the way"],
  [/^SQLITE_FULL/, "Full", "there is no room left for the database; free some and try again"],
  [/^SQLITE_READONLY/, "ReadOnly", "the database cannot be written: it was opened read-only, or its file or folder is"],
  [/^SQLITE_CORRUPT/, "Corrupt", "the database file is damaged; restore a backup or recover it with the sqlite3 shell"],
  [/^SQLITE_NOTADB/, "NotADatabase", "the file is not a SQLite database, or it is encrypted; check the file name"],
  [/^SQLITE_(PERM|AUTH)/, "Permission", "access to the database was refused; check the rights of its file and folder"],
  [/^SQLITE_(CANTOPEN|IOERR|NOLFS)/, "Unavailable", "the database file cannot be opened, read or written"],
  [/^SQLITE_TOOBIG/, "InvalidValue", "the value is larger than SQLite's limit of 1,000,000,000 bytes"]
]

/**
 * What an error of the driver means.
 *
 * @internal
 */
export const classify = (cause: unknown, error: unknown = cause): Fault => {
  const message = messageOf(cause)
  const found = findCause(causes, cause, error)
  if (found !== undefined) return found
  if (cause instanceof TypeError && message.includes("database connection is not open")) {
    return new Fault("Closed", "the database was closed; keep its scope open for as long as it is used", error)
  }
  return new Fault("Unknown", message, error)
}
