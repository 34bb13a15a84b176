/**
 * PostgreSQL's dialect.
 *
 * Keys are in the byte order of UTF-8 (`COLLATE "C"`). Text and bytes have a column each, so that a value keeps its kind
 * and text can be read in a database shell; text with NUL, which PostgreSQL's text cannot hold, is in both: empty in
 * the one, its bytes in the other. Nothing rests on ctid, xmin, advisory locks or NOTIFY, and the time is a parameter:
 * that much is to hold on servers that only speak PostgreSQL's language.
 *
 * What may wait for a lock never waits longer than the lock time-out. A transaction sets that as it begins; a statement
 * on its own sets it in an expression, for itself only, that it has to know before it locks a row.
 *
 * @internal
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type { Entry, Value } from "../../Storage.js"
import { sha256 } from "../sha256.js"
import {
  catalogTable,
  type Dialect,
  type Kind,
  migrationsTable,
  type Queries,
  type Query,
  type Table
} from "./dialect.js"
import { type Causes, closedFault, codeOf, Fault, findCause, messageOf } from "./fault.js"
import { bytesKeys, type KeyKind, textKeys } from "./keys.js"
import type { Bounds } from "./range.js"

/** How many rows and, about, how many bytes one INSERT takes. */
const insertRows = 5000
const insertBytes = 8 << 20

/**
 * Bytes are answered as hexadecimal text, and JavaScript's strings end at 512 MiB: the driver would throw where nobody
 * could catch it.
 */
const maxValueBytes = 255 << 20

/** The parameters of one statement, numbered as they are added. */
class Params {
  readonly values: Array<unknown> = []
  add(value: unknown): string {
    return `$${this.values.push(value)}`
  }
}

const bounded = <K>(params: Params, { lower, upper }: Bounds<K>): Array<string> => [
  ...(lower === undefined ? [] : [`key ${lower.inclusive ? ">=" : ">"} ${params.add(lower.key)}`]),
  ...(upper === undefined ? [] : [`key ${upper.inclusive ? "<=" : "<"} ${params.add(upper.key)}`])
]

const where = (conditions: ReadonlyArray<string>): string =>
  conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`

/** NULL is no limit. */
const limitParam = (limit: number): number | null => limit === Infinity ? null : limit

/** A value as it is in its two columns. */
const toColumns = (value: Value): readonly [text: string | null, bytes: Uint8Array | null] =>
  typeof value !== "string" ? [null, value] : value.includes("\0") ? ["", Buffer.from(value)] : [value, null]

const valueIssue = (value: Value): string | undefined => {
  if (value.length * 3 <= maxValueBytes) return undefined
  const size = typeof value === "string" ? Buffer.byteLength(value) : value.length
  return size > maxValueBytes
    ? `the value has ${size} bytes and the limit on PostgreSQL is ${maxValueBytes}`
    : undefined
}

/** The last entry of each key, in the order in which everybody locks rows: so nobody waits in a circle. */
const inLockOrder = <K>(kind: KeyKind<K>, entries: ReadonlyArray<Entry<K>>): Array<Entry<K>> => {
  const compare = kind.comparing(entries.map(({ key }) => key))
  // Sorting is stable: of those with the same key, the last stays the last.
  return Array.from(entries).sort((a, b) => compare(a.key, b.key)).filter(({ key }, at, sorted) => {
    const next = sorted[at + 1]
    return next === undefined || compare(key, next.key) !== 0
  })
}

const insertSlices = <K>(entries: ReadonlyArray<Entry<K>>): Array<ReadonlyArray<Entry<K>>> => {
  const slices: Array<Array<Entry<K>>> = []
  let bytes = Infinity
  let slice: Array<Entry<K>> = []
  for (const entry of entries) {
    bytes += entry.value.length
    if (bytes > insertBytes || slice.length === insertRows) {
      slices.push(slice = [])
      bytes = entry.value.length
    }
    slice.push(entry)
  }
  return slices
}

const makeQueries = <K>(table: string, kind: KeyKind<K>, keyType: string, waits: string): Queries<K> => {
  const live = (now: string): string => `(expires_at IS NULL OR expires_at > ${now})`
  const insert = (rows: string): string =>
    `INSERT INTO ${table} AS old (key, expires_at, sweep_at, value, bytes) ${rows} ON CONFLICT (key) DO UPDATE SET ` +
    "expires_at = excluded.expires_at, value = excluded.value, bytes = excluded.bytes, " +
    // LEAST passes over NULL. What does not expire leaves the index alone as well.
    "sweep_at = CASE WHEN excluded.expires_at IS NULL THEN old.sweep_at ELSE LEAST(old.sweep_at, excluded.expires_at) END"
  const set = insert("VALUES ($1, $2, $2, $3, $4)")
  const setAlone = insert(`VALUES ($1, CASE WHEN ${waits} THEN $2::bigint END, $2, $3, $4)`)
  const setMany = insert(
    `SELECT key, expires_at, expires_at, value, bytes FROM ` +
      `unnest($1::${keyType}[], $2::bigint[], $3::text[], $4::bytea[]) AS list (key, expires_at, value, bytes)`
  )
  const get = `SELECT value, bytes, expires_at FROM ${table} WHERE key = $1 AND ${live("$2")}`
  const head = `SELECT expires_at FROM ${table} WHERE key = $1 AND ${live("$2")}`
  // A join with the list would read the whole table where the planner knows little of it.
  const getMany = `SELECT key, value, bytes, expires_at FROM ${table} WHERE key = ANY($1::${keyType}[]) AND ${
    live("$2")
  }`
  const lock = `INSERT INTO ${table} AS old (key, expires_at, value) VALUES ($1, '-9223372036854775808', '') ` +
    `ON CONFLICT (key) DO UPDATE SET expires_at = old.expires_at RETURNING value, bytes, expires_at`
  const remove = `DELETE FROM ${table} WHERE key = $1 RETURNING expires_at`
  const removeAlone = `DELETE FROM ${table} WHERE key = $1 AND ${waits} RETURNING expires_at`
  const removeMany =
    `WITH list AS (SELECT key FROM ${table} WHERE key = ANY($1::${keyType}[]) ORDER BY key FOR UPDATE) ` +
    `DELETE FROM ${table} AS entry USING list WHERE entry.key = list.key RETURNING expires_at`
  const due = `WITH due AS (SELECT key FROM ${table} WHERE sweep_at <= $1 ORDER BY sweep_at LIMIT $2 ` +
    "FOR UPDATE SKIP LOCKED)"
  const removeExpired = `${due} DELETE FROM ${table} AS entry USING due ` +
    "WHERE entry.key = due.key AND expires_at <= $1 RETURNING 1 AS gone"
  const postpone = `${due} UPDATE ${table} AS entry SET sweep_at = expires_at FROM due ` +
    `WHERE entry.key = due.key AND ${live("$1")} RETURNING 1 AS postponed`
  const select = (columns: string, bounds: Bounds<K>, now: number, more: string): Query => {
    const params = new Params()
    const conditions = [...bounded(params, bounds), live(params.add(now))]
    const order = `ORDER BY key${bounds.reverse ? " DESC" : ""} LIMIT ${params.add(limitParam(bounds.limit))}`
    return [`SELECT ${columns} FROM ${table} ${where(conditions)} ${order}${more}`, params.values]
  }
  const row = ({ expiresAt, key, value }: Entry<K>) => [key, expiresAt ?? null, ...toColumns(value)]
  return {
    clear: (bounds, now) => {
      const params = new Params()
      const list = `SELECT key FROM ${table} ${where(bounded(params, bounds))} ORDER BY key FOR UPDATE`
      const gone = `DELETE FROM ${table} AS entry USING list WHERE entry.key = list.key RETURNING expires_at`
      const count = `SELECT count(*) AS entries FROM gone WHERE ${live(params.add(now))}`
      return { _tag: "Together", queries: [[`WITH list AS (${list}), gone AS (${gone}) ${count}`, params.values]] }
    },
    entries: (bounds, now) => select("key, value, bytes, expires_at", bounds, now, ""),
    get: (key, now) => [get, [key, now]],
    getMany: (keys, now) => [getMany, [keys, now]],
    head: (key, now) => [head, [key, now]],
    keys: (bounds, now) => select("key", bounds, now, ""),
    lock: (key) => [lock, [key]],
    postpone: (now, limit) => [postpone, [now, limitParam(limit)]],
    remove: (key, alone) => [alone ? removeAlone : remove, [key]],
    removeExpired: (now, limit) => [removeExpired, [now, limitParam(limit)]],
    removeMany: (keys) => [removeMany, [keys]],
    set: (entry, alone) => [alone ? setAlone : set, row(entry)],
    setMany: (entries) =>
      insertSlices(inLockOrder(kind, entries)).map((slice): Query => {
        const keys: Array<K> = []
        const expiries: Array<number | null> = []
        const texts: Array<string | null> = []
        const bytes: Array<Uint8Array | null> = []
        for (const { expiresAt = null, key, value } of slice) {
          const [text, others] = toColumns(value)
          keys.push(key)
          expiries.push(expiresAt)
          texts.push(text)
          bytes.push(others)
        }
        return [setMany, [keys, expiries, texts, bytes]]
      }),
    stat: (bounds, now) => {
      const params = new Params()
      const conditions = [...bounded(params, bounds), live(params.add(now))]
      return [
        "SELECT count(*) AS entries, coalesce(sum(octet_length(key) + coalesce(octet_length(value), 0) + " +
        `coalesce(octet_length(bytes), 0)), 0) AS bytes FROM ${table} ${where(conditions)}`,
        params.values
      ]
    },
    take: (bounds, now) => {
      const [first, params] = select("key", bounds, now, " FOR UPDATE SKIP LOCKED")
      return [
        `WITH first AS (${first}) DELETE FROM ${table} AS entry USING first WHERE entry.key = first.key ` +
        "RETURNING entry.key, value, bytes, expires_at",
        params
      ]
    }
  }
}

const makeTable = <K>(
  schema: string,
  name: string,
  kind: KeyKind<K>,
  keyType: string,
  keyColumn: string,
  waits: string
): Table<K> => ({
  create: [
    `CREATE TABLE ${schema}.${name} (` +
    `key ${keyColumn} NOT NULL PRIMARY KEY, expires_at BIGINT, sweep_at BIGINT, value TEXT, bytes BYTEA)`,
    `CREATE INDEX ${name}_sweep ON ${schema}.${name} (sweep_at) WHERE sweep_at IS NOT NULL`
  ],
  prepare: () => Effect.void,
  queries: makeQueries(`${schema}.${name}`, kind, keyType, waits)
})

/** Milliseconds as `lock_timeout` has them: whole, and 0 is none. */
const lockMillis = (lockTimeout: Duration.Duration): number => {
  const millis = Math.ceil(Duration.toMillis(lockTimeout))
  return millis > maxLockMillis ? 0 : Math.max(millis, 1)
}

const maxLockMillis = 2 ** 31 - 1

/** `schema` as SQL has it. The tables are in it whatever a session may search. */
const postgresIn = (schema: string, lockTimeout: Duration.Duration): Dialect => {
  const millis = lockMillis(lockTimeout)
  const begin = (isolation: string) => `BEGIN ISOLATION LEVEL ${isolation}; SET LOCAL lock_timeout = ${millis}`
  const qualified = (table: string) => `${schema}.${table}`
  const catalog = qualified(catalogTable)
  const waits = `set_config('lock_timeout', '${millis}', true) IS NOT NULL`
  return {
    begin: begin("READ COMMITTED"),
    beginSerializable: begin("SERIALIZABLE"),
    bytesTable: (table) => makeTable(schema, table, bytesKeys, "bytea", "BYTEA", waits),
    check: (connection) =>
      Effect.map(
        connection.execute(
          "SELECT current_setting('server_encoding') AS encoding, '\\x00'::bytea AS bytes",
          [],
          undefined
        ),
        ([row]) =>
          row?.encoding !== "UTF8"
            ? new Fault(
              "Incompatible",
              `the database keeps text as ${row?.encoding}, which has not every character; create it with ENCODING 'UTF8'`
            )
            : row.bytes instanceof Uint8Array
            ? undefined
            : new Fault(
              "Incompatible",
              "the client's `types` turn bytea into something else than bytes; leave it out there"
            )
      ),
    classify: toFault,
    coalesce: false,
    // A transaction in which something failed is rolled back by COMMIT, which then succeeds.
    commit: (connection) =>
      Effect.flatMap(
        connection.executeRaw("COMMIT", []),
        (result) =>
          typeof result === "object" && result !== null && "command" in result && result.command === "ROLLBACK"
            ? Effect.fail(new SqlError({ cause: aborted, message: aborted.detail }))
            : Effect.void
      ),
    compiling: identity,
    findKeyspace: (name) => [`SELECT id, keys FROM ${catalog} WHERE digest = $1`, [sha256(name)]],
    addKeyspace: (name, keys) => [
      `INSERT INTO ${catalog} (digest, name, keys) VALUES ($1, $2, $3) RETURNING id, keys`,
      [sha256(name), name, keys]
    ],
    hasTable: (table) => ["SELECT 1 AS found WHERE to_regclass($1) IS NOT NULL", [qualified(table)]],
    isOpen: () => Effect.succeed(true),
    migrations: [
      () => [
        `CREATE TABLE ${catalog} (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ` +
        // Of a name of any length, which an index cannot hold.
        "digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL, keys TEXT NOT NULL)"
      ]
    ],
    qualified,
    recompiling: identity,
    // The server's own autovacuum does.
    reclaim: () => Effect.succeed(0),
    release: (name) => `RELEASE SAVEPOINT ${name}`,
    rollback: "ROLLBACK",
    rollbackTo: (name) => `ROLLBACK TO SAVEPOINT ${name}`,
    savepoint: (connection, name) =>
      Effect.map(
        // Not as a timestamp, which settings of the session word otherwise.
        connection.execute(`SAVEPOINT ${name}; SELECT extract(epoch FROM now())::text AS began`, [], undefined),
        (answers: ReadonlyArray<unknown>) => JSON.stringify(answers)
      ),
    settle: () => Effect.void,
    single: false,
    system: "postgresql",
    textTable: (table) => makeTable(schema, table, textKeys, "text", `TEXT COLLATE "C"`, waits),
    toValue: ({ bytes, value }) =>
      !(bytes instanceof Uint8Array)
        ? String(value)
        : value === null
        // A copy: small buffers share one memory, with those of others.
        ? new Uint8Array(bytes)
        : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
    valueIssue,
    written: (result) =>
      typeof result === "object" && result !== null && "rowCount" in result ? Number(result.rowCount) : 0
  }
}

/** Where the tables are, or else where the session makes new ones. */
const findSchema = "SELECT quote_ident(coalesce((SELECT nspname FROM pg_class AS found " +
  `JOIN pg_namespace AS namespace ON namespace.oid = relnamespace WHERE found.oid = to_regclass('${migrationsTable}')), ` +
  "current_schema())) AS schema"

/** @internal */
export const postgres = (lockTimeout: Duration.Duration): Kind => ({
  classify: toFault,
  dialect: (connection) =>
    Effect.flatMap(connection.execute(findSchema, [], undefined), ([row]) =>
      typeof row?.schema === "string"
        ? Effect.succeed(postgresIn(row.schema, lockTimeout))
        : Effect.fail(
          new Fault(
            "Unavailable",
            "no schema of the search_path exists, or may be used; create one, or set another path"
          )
        )),
  single: false
})

const aborted = new Fault(
  "Closed",
  "the transaction was lost when a statement in it failed, and nothing of it is kept; " +
    "have what may fail roll back to a savepoint: a nested transaction",
  undefined,
  "aftermath"
)

/** By SQLSTATE, and by the codes of Node for what never reached the server. */
const causes: Causes = [
  [/^(40001|40P01)$/, "Busy", "it was lost to a concurrent transaction; try again"],
  [/^53[14]00$/, "Full", "there is no room left on the server; free some and try again"],
  [/^25006$/, "ReadOnly", "the server accepts no writes: it is a standby, or the session is read-only"],
  [/^XX00[12]$/, "Corrupt", "the server found damaged data; see its log, and restore a backup"],
  [/^(42501|28...)$/, "Permission", "the server refused access; check the user, its password and its rights"],
  [/^(54...|22...)$/, "InvalidValue", "the server cannot hold the value as it is"],
  [
    /^(08...|57P0.|53[23]00|3D000|25P0[34]|E[A-Z_]+|(SELF_SIGNED|CERT|DEPTH_ZERO|UNABLE_TO)_.+)$/,
    "Unavailable",
    "the server cannot be reached, or the connection was lost; whether a write or commit under way was done is not known"
  ]
]

/**
 * Of several that create the same table or keyspace at once, one does, and the others find it when they try again. The
 * message names our own table or one of the server's: what is there twice of the user's own is so at every attempt.
 */
const isCreated = (code: string, message: string): boolean =>
  /^(42P07|42701|42710|23505)$/.test(code) && /\b(kv|pg)_/.test(message)

const toFault = (error: SqlError): Fault => error.cause instanceof Fault ? error.cause : classify(error.cause, error)

const classify = (cause: unknown, error: SqlError): Fault => {
  const code = codeOf(cause)
  const message = messageOf(cause)
  if (code === "25P02") return aborted
  // A savepoint, and no transaction to put it in.
  if (code === "25P01") return closedFault
  if (isCreated(code, message)) {
    return new Fault("Busy", `another process is creating the same table; try again (${message})`, error)
  }
  if (/^(55P03|57014)$/.test(code)) {
    const detail = `another transaction held the lock for too long, or the statement took too long (${message})`
    return new Fault("Busy", detail, error, "waited")
  }
  const found = findCause(causes, cause, error)
  if (found !== undefined) return found
  if (code === "0A000" && message.includes("hot standby")) {
    return new Fault("ReadOnly", `the server is a standby, which has no serializable transactions (${message})`, error)
  }
  if (/pool after calling end/.test(message)) {
    return new Fault("Closed", "the database was closed; keep its scope open for as long as it is used", error)
  }
  // The driver's own, which have no code.
  return /connect|terminated|timeout|not queryable/i.test(message) && code === ""
    ? new Fault("Unavailable", `the server cannot be reached, or the connection was lost (${message})`, error)
    : new Fault("Unknown", message, error)
}
