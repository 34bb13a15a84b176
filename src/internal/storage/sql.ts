/**
 * Storage over a `SqlClient`: the catalog of keyspaces, and a driver for each. What is particular to a database is in
 * its dialect.
 *
 * @internal
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Change, Entry, KeyspaceInfo, Options, Slice, Storage, Value } from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { sha256 } from "../sha256.js"
import type { Access } from "./access.js"
import { callOf } from "./call.js"
import { accessOf } from "./client.js"
import { nextTurn } from "./compat.js"
import { catalogTable, type Dialect, migrationsTable, type Query, type Row, type Table } from "./dialect.js"
import { durationSetting } from "./duration.js"
import { failing, Fault, otherKeys } from "./fault.js"
import { bytesKeys, type KeyKind, textKeys } from "./keys.js"
import { type Driver, makeKeyspace } from "./keyspace.js"
import { makeService } from "./service.js"

type Sql = Access<Connection, SqlError>

/** How many keys one statement reads or deletes, and how many rows one slice of `clear` takes. */
const slice = 10_000
const clearSlice = 1000

/** After how many rows that were swept the database is to settle: before it would by itself. */
const settleEvery = 64

const execute = (connection: Connection, [text, params]: Query) => connection.execute(text, params, undefined)

const executeAll = (connection: Connection, queries: ReadonlyArray<Query>) =>
  Effect.forEach(queries, (query) => execute(connection, query), { discard: true })

const toExpiry = (expiresAt: unknown): number | undefined => expiresAt === null ? undefined : Number(expiresAt)

const liveRows = (rows: ReadonlyArray<Row>, now: number): number => {
  let count = 0
  for (const row of rows) if (row.expires_at === null || Number(row.expires_at) > now) count++
  return count
}

const slices = <A>(items: ReadonlyArray<A>): Array<ReadonlyArray<A>> => {
  const out: Array<ReadonlyArray<A>> = []
  for (let at = 0; at < items.length; at += slice) out.push(items.slice(at, at + slice))
  return out
}

/** Several slices lock their rows in one order, as one does. */
const ordered = <K>(kind: KeyKind<K>, keys: ReadonlyArray<K>): ReadonlyArray<K> =>
  keys.length <= slice ? keys : Array.from(keys).sort(kind.comparing(keys))

const makeDriver = <K extends string | Uint8Array>(
  access: Sql,
  dialect: Dialect,
  { queries }: Table<K>,
  kind: KeyKind<K>,
  toKey: (key: unknown) => K
): Driver<K> => {
  const toEntry = (row: Row): Entry<K> => ({
    expiresAt: toExpiry(row.expires_at),
    key: toKey(row.key),
    value: dialect.toValue(row)
  })
  const entryOf = (key: K, row: Row): Entry<K> => ({
    expiresAt: toExpiry(row.expires_at),
    key: kind.copy(key),
    value: dialect.toValue(row)
  })
  const first = (key: K) => (rows: ReadonlyArray<Row>): Option.Option<Entry<K>> => {
    const row = rows[0]
    return row === undefined ? Option.none() : Option.some(entryOf(key, row))
  }
  const refusal = ({ value }: { readonly value: Value }): Effect.Effect<never, Fault> | undefined => {
    const issue = dialect.valueIssue(value)
    return issue === undefined ? undefined : Effect.fail(new Fault("InvalidValue", issue))
  }
  const put = (connection: Connection, entry: Entry<K>, alone: boolean): Effect.Effect<unknown, SqlError | Fault> => {
    const refused = refusal(entry)
    if (refused !== undefined) return refused
    const query = queries.set(entry, alone)
    return entry.expiresAt === undefined ? execute(connection, query) : Effect.flatMap(
      connection.executeRaw(...query),
      (result): Effect.Effect<unknown, SqlError> =>
        dialect.written(result) > 0 ? Effect.void : executeAll(connection, queries.setMany([entry]))
    )
  }
  const change = (
    connection: Connection,
    key: K,
    change: Exclude<Change<K>, { readonly _tag: "Keep" }>
  ): Effect.Effect<unknown, SqlError | Fault> => {
    if (change._tag === "Remove") return execute(connection, queries.remove(key, false))
    const { expiresAt, others = [], value } = change
    const written = put(connection, { expiresAt, key, value }, false)
    if (others.length === 0) return written
    const [only] = others
    return Effect.zipRight(
      written,
      only !== undefined && others.length === 1 ? put(connection, only, false) : putAll(connection, others)
    )
  }
  const putAll = (
    connection: Connection,
    entries: ReadonlyArray<Entry<K>>
  ): Effect.Effect<void, SqlError | Fault> => {
    for (const entry of entries) {
      const refused = refusal(entry)
      if (refused !== undefined) return refused
    }
    return executeAll(connection, queries.setMany(entries))
  }
  // Expiries are whole numbers, so this changes nothing but what databases take.
  const now = (clock: Clock.Clock): number => Math.floor(clock.unsafeCurrentTimeMillis())

  let unsettled = 0
  const settle = (connection: Connection, removed: number) => {
    unsettled += removed
    if (unsettled < settleEvery) return Effect.void
    unsettled = 0
    return Effect.ignore(dialect.settle(connection))
  }

  return {
    get: (key, done, call) => {
      const found = first(key)
      return access.read(
        (connection, clock) => execute(connection, queries.get(key, now(clock))),
        (rows) => done(found(rows)),
        call
      )
    },
    head: (key, done, call) =>
      access.read(
        (connection, clock) => execute(connection, queries.head(key, now(clock))),
        ([row]) => done(row === undefined ? Option.none() : Option.some({ expiresAt: toExpiry(row.expires_at) })),
        call
      ),
    getMany: (keys, call) =>
      Effect.map(
        Effect.forEach(slices(keys), (keys) =>
          access.read((connection, clock) =>
            execute(connection, queries.getMany(keys, now(clock))), (rows) => {
            if (rows[0] !== undefined && !("position" in rows[0])) {
              const byKey = new Map(rows.map((row) => [kind.identity(toKey(row.key)), row]))
              return keys.map((key) => {
                const row = byKey.get(kind.identity(key))
                return row === undefined ? Option.none() : Option.some(entryOf(key, row))
              })
            }
            const found = new Array<Option.Option<Entry<K>>>(keys.length).fill(Option.none())
            for (const row of rows) {
              const position = Number(row.position)
              const key = keys[position]
              if (key !== undefined) found[position] = Option.some(entryOf(key, row))
            }
            return found
          }, call)),
        (parts) =>
          parts.length === 1 && parts[0] !== undefined ? parts[0] : parts.flat()
      ),
    set: (entry, done, call) =>
      access.write((connection, _, place) => put(connection, entry, place === "alone"), done, call),
    setMany: (entries, call) => access.atomic((connection) => putAll(connection, entries), () => undefined, call),
    modify: (key, f, call) =>
      access.update(
        (connection, clock, place) => {
          const time = now(clock)
          return Effect.flatMap(execute(connection, queries.lock(key, time)), (rows) => {
            const locked = first(key)(rows)
            const live = Option.filter(locked, ({ expiresAt = Infinity }) => expiresAt > time)
            const [answer, what] = f(live)
            if (what._tag !== "Keep") return Effect.as(change(connection, key, what), { answer, keep: false })
            // What the lock has put there is not of a time that an entry can have.
            const isMade = Option.exists(locked, ({ expiresAt = 0 }) => expiresAt < Number.MIN_SAFE_INTEGER)
            const unlock = place === "foreign" && isMade ? execute(connection, queries.remove(key, false)) : Effect.void
            return Effect.as(unlock, { answer, keep: true })
          })
        },
        ({ answer }) => answer,
        ({ keep }) => keep,
        call
      ),
    remove: (key, call) =>
      access.write(
        (connection, clock, place) =>
          Effect.map(execute(connection, queries.remove(key, place === "alone")), (rows) =>
            liveRows(rows, now(clock)) > 0),
        (removed) =>
          removed,
        call
      ),
    removeMany: (keys, call) =>
      access.atomic(
        (connection, clock) =>
          Effect.reduce(slices(ordered(kind, keys)), 0, (count, keys) =>
            Effect.map(
              execute(connection, queries.removeMany(keys)),
              (rows) => count + liveRows(rows, now(clock))
            )),
        (count) => count,
        call
      ),
    take: (bounds, call) =>
      access.write(
        (connection, clock) => execute(connection, queries.take(bounds, now(clock))),
        (rows) => {
          const order = bounds.reverse ? -1 : 1
          return rows.map(toEntry).sort((a, b) => order * kind.compare(a.key, b.key))
        },
        call
      ),
    entries: (bounds, call) =>
      access.read(
        (connection, clock) => execute(connection, queries.entries(bounds, now(clock))),
        (rows) => rows.map(toEntry),
        call
      ),
    keys: (bounds, call) =>
      access.read(
        (connection, clock) => execute(connection, queries.keys(bounds, now(clock))),
        (rows) => rows.map((row) => toKey(row.key)),
        call
      ),
    stat: (bounds, call) =>
      access.read(
        (connection, clock) => execute(connection, queries.stat(bounds, now(clock))),
        ([row]) => ({ bytes: Number(row?.bytes), entries: Number(row?.entries) }),
        call
      ),
    clear: (bounds, call) =>
      access.atomic(
        (connection, clock) => {
          const clearing = queries.clear(bounds, now(clock))
          if (clearing._tag === "Together") {
            return Effect.map(
              Effect.forEach(clearing.queries, (query) => execute(connection, query)),
              (answers) => Number(answers.flat()[0]?.entries)
            )
          }
          const query = clearing.slice(clearSlice)
          const loop = (count: number): Effect.Effect<number, SqlError> =>
            Effect.flatMap(execute(connection, query), (rows) => {
              const total = count + liveRows(rows, now(clock))
              return rows.length < clearSlice ? Effect.succeed(total) : Effect.zipRight(nextTurn, loop(total))
            })
          return loop(0)
        },
        (count) => count,
        call
      ),
    removeExpired: (limit, call) =>
      Effect.flatMap(access.level, (level) =>
        access.run(
          (connection, clock) => {
            const time = now(clock)
            return Effect.flatMap(execute(connection, queries.removeExpired(time, limit)), ({ length: removed }) => {
              const rest = limit - removed
              // What was removed is to be told whatever follows: that can be done at another time.
              const postpone = Effect.map(execute(connection, queries.postpone(time, rest)), ({ length }) => length)
              const postponed = rest === 0
                ? Effect.succeed(0)
                : level === undefined
                ? Effect.orElseSucceed(postpone, () => rest)
                : postpone
              return Effect.map(
                level === undefined ? Effect.zipLeft(postponed, settle(connection, removed)) : postponed,
                (postponed): Slice => ({ more: limit > 0 && postponed === rest, removed })
              )
            })
          },
          (slice) => slice,
          call
        ))
  }
}

const textKey = (key: unknown): string => String(key)

const bytesKey = (key: unknown): Uint8Array => key instanceof Uint8Array ? new Uint8Array(key) : new Uint8Array()

/**
 * A table name nobody gives us. The id makes it unique; the hash keeps a keyspace that was rolled back, whose id is given
 * away again, from writing into another; the rest is for whoever looks into the database.
 */
const tableName = (id: number, name: string): string => {
  const prefix = `kv_${id}_${sha256(JSON.stringify(name)).slice(0, 8)}_`
  return prefix + name.toLowerCase().replace(/[^a-z0-9]+/g, "_").slice(0, 40 - prefix.length)
}

/** Brings the catalog to the newest version. Of several processes one does it and the others find it done. */
const migrate = (access: Sql, dialect: Dialect): Effect.Effect<void, StorageError> => {
  const versionOf = (connection: Connection): Effect.Effect<number, SqlError> =>
    Effect.flatMap(execute(connection, dialect.hasTable(migrationsTable)), (found) =>
      found.length === 0
        ? Effect.succeed(0)
        : Effect.map(
          execute(connection, [
            `SELECT coalesce(max(version), 0) AS version FROM ${dialect.qualified(migrationsTable)}`,
            []
          ]),
          ([row]) => Number(row?.version)
        ))
  const ddl = (connection: Connection, text: string) => dialect.compiling(connection).execute(text, [], undefined)
  const missing = (connection: Connection) =>
    Effect.gen(function*() {
      const version = yield* versionOf(connection)
      if (version === 0) {
        yield* ddl(
          connection,
          `CREATE TABLE ${dialect.qualified(migrationsTable)} (version INTEGER NOT NULL PRIMARY KEY)`
        )
      }
      const catalog = version === 0
        ? []
        : yield* execute(connection, [`SELECT id, name FROM ${dialect.qualified(catalogTable)}`, []])
      const tables = catalog.map(({ id, name }) => tableName(Number(id), JSON.parse(String(name))))
      for (let next = version; next < dialect.migrations.length; next++) {
        // First, as one of several processes that do the same waits here, and then finds it done.
        yield* ddl(connection, `INSERT INTO ${dialect.qualified(migrationsTable)} (version) VALUES (${next + 1})`)
        for (const text of dialect.migrations[next]?.(tables) ?? []) yield* ddl(connection, text)
      }
    })
  const fail = failing("open")
  return Effect.gen(function*() {
    const fault = yield* access.run((connection) => dialect.check(connection), (fault) => fault, { fail })
    if (fault !== undefined) return yield* Effect.fail(fail(fault))
    const known = dialect.migrations.length
    const version = yield* access.run(versionOf, (version) => version, { fail })
    if (version > known) {
      return yield* Effect.fail(fail(
        new Fault(
          "Incompatible",
          `the database was written by a newer effect-kv: its tables have version ${version}, this one knows ${known}; upgrade effect-kv`
        )
      ))
    }
    if (version < known) yield* access.atomic(missing, () => undefined, { fail })
  })
}

/** The keyspace's row in the catalog, with its table, created if it is not there. */
const register = (
  access: Sql,
  dialect: Dialect,
  name: string,
  kind: "text" | "bytes"
): Effect.Effect<string, StorageError> => {
  const fail = failing("open", name)
  // JSON keeps apart what UTF-8 cannot: NUL and lone surrogates are escaped.
  const stored = JSON.stringify(name)
  const find = dialect.findKeyspace(stored)
  const create = (connection: Connection) =>
    Effect.gen(function*() {
      const [found] = yield* execute(connection, find)
      if (found !== undefined) return found
      const [row] = yield* execute(connection, dialect.addKeyspace(stored, kind))
      const table = tableName(Number(row?.id), name)
      const { create } = kind === "text" ? dialect.textTable(table) : dialect.bytesTable(table)
      for (const text of create) yield* connection.executeUnprepared(text, [], undefined)
      return row
    })
  return Effect.gen(function*() {
    const [found] = yield* access.run((connection) => execute(connection, find), (rows) => rows, { fail })
    const row = found ?? (yield* access.atomic(create, (row) => row, { fail }))
    if (row?.keys !== kind) {
      return yield* Effect.fail(fail(otherKeys(String(row?.keys), kind)))
    }
    return tableName(Number(row.id), name)
  })
}

/** The keyspaces of the catalog. */
const registered = (access: Sql, dialect: Dialect): Effect.Effect<ReadonlyArray<KeyspaceInfo>, StorageError> =>
  access.run(
    (connection) => execute(connection, [`SELECT name, keys FROM ${dialect.qualified(catalogTable)}`, []]),
    (rows) =>
      rows.map(({ keys, name }) => ({ keys: keys === "bytes" ? "bytes" : "text", name: JSON.parse(String(name)) })),
    callOf("keyspaces")
  )

/** @internal */
export const makeSql = (
  options: Options = {}
): Effect.Effect<Storage["Type"], StorageError, SqlClient.SqlClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* SqlClient.SqlClient
    const lockTimeout = yield* Effect.mapError(
      durationSetting("lockTimeout", options.lockTimeout ?? "5 seconds"),
      failing("open")
    )
    const { access, dialect } = yield* accessOf(client, lockTimeout)
    yield* Effect.addFinalizer(() => access.flush)
    yield* migrate(access, dialect)

    const open = <K extends string | Uint8Array>(
      name: string,
      kind: KeyKind<K>,
      toTable: (name: string) => Table<K>,
      toKey: (key: unknown) => K
    ) =>
      Effect.gen(function*() {
        const table = toTable(yield* register(access, dialect, name, kind.name))
        yield* access.run(table.prepare, () => undefined, { fail: failing("open", name) })
        return makeKeyspace(name, kind, makeDriver(access, dialect, table, kind, toKey))
      })

    /** Until none is free, or the database does not give any back. */
    const reclaim = (before: number): Effect.Effect<void, StorageError> =>
      Effect.flatMap(access.atomic(dialect.reclaim, (left) => left, callOf("reclaim")), (left) =>
        left === 0 || left >= before ? Effect.void : Effect.zipRight(nextTurn, reclaim(left)))

    return yield* makeService({
      access,
      keyspaces: registered(access, dialect),
      reclaim: reclaim(Infinity),
      openBytes: (name) =>
        open(name, bytesKeys, dialect.bytesTable, bytesKey),
      openText: (name) => open(name, textKeys, dialect.textTable, textKey),
      sweep: options.sweep
    })
  })
