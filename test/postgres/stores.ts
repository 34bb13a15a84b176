/** Storages on PostgreSQL, and looks at what their server does. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Context, Deferred, Effect, Fiber, Layer, Redacted, Schedule } from "effect"
import type { Duration } from "effect"
import { Storage } from "effect-kv"
import { randomUUID } from "node:crypto"
import { freshSchema } from "./shared.js"

type Sql = PgClient.PgClient

/** A client, for as long as the scope lives. */
export const clientOf = (config: PgClient.PgClientConfig) => Effect.provide(PgClient.make(config), Reactivity.layer)

/** A Storage on a client. */
export const storageOn = (sql: SqlClient.SqlClient, lockTimeout?: Duration.DurationInput) =>
  Effect.map(
    Effect.provideService(
      Layer.build(Storage.layer({ lockTimeout, sweep: false })),
      SqlClient.SqlClient,
      sql
    ),
    Context.get(Storage.Storage)
  )

/** The same database, with settings of the server for each connection. */
export const withSettings = (
  { url }: { readonly url: Redacted.Redacted },
  settings: Readonly<Record<string, string>>
) => {
  const target = new URL(Redacted.value(url))
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)
  target.searchParams.set("options", [target.searchParams.get("options") ?? "", ...options].join(" ").trim())
  target.search = target.search.replaceAll("+", "%20")
  return { url: Redacted.make(target.href) }
}

interface Options {
  readonly lockTimeout?: Duration.DurationInput
  readonly maxConnections?: number
}

/** A client with a Storage on it and another client, of the same database. */
export const openOn = (config: PgClient.PgClientConfig, { lockTimeout, maxConnections }: Options = {}) =>
  Effect.gen(function*() {
    // By which the server tells its connections from those of others.
    const applicationName = randomUUID()
    const sql = yield* clientOf({ ...config, applicationName, maxConnections })
    const other = yield* clientOf(config)
    const storage = yield* storageOn(sql, lockTimeout)
    const keyspace = yield* storage.keyspace("test")
    return { applicationName, config, keyspace, other, sql, storage, table: yield* tableOf(other, "test") }
  })

/** The same in a schema of its own. */
export const openFresh = (options?: Options) => Effect.flatMap(freshSchema, (config) => openOn(config, options))

/** The table of a keyspace whose name is a word. */
export const tableOf = (sql: Sql, keyspace: string) =>
  Effect.map(
    sql<{ readonly name: string }>`SELECT relname AS name FROM pg_class
      WHERE relkind = 'r' AND pg_table_is_visible(oid) AND relname LIKE ${`kv\\_%\\_${keyspace}`}`,
    (rows) => rows.map(({ name }) => name).join()
  )

/** All that is in the table of a keyspace, expired or not. */
export const rowsOf = (sql: Sql, table: string) =>
  sql.unsafe<{ readonly key: string; readonly value: string | null }>(`SELECT key, value FROM ${table} ORDER BY key`)

/** Runs something in a transaction that then stays open, until the answer is run. */
export const holding = <A, E>(sql: Sql, self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const held = yield* Deferred.make<void>()
    const end = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkScoped(sql.withTransaction(
      Effect.zipRight(self, Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(end)))
    ))
    yield* Effect.raceFirst(Deferred.await(held), Fiber.join(fiber))
    return Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber))
  })

/** Runs something as if nobody had asked for it: in no transaction, for the SQL of any client joins that of another. */
export const apart = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.flatten(Effect.promise(() => Effect.runPromiseExit(self)))

/** Holds every connection of a client's pool, until the answer is run. */
export const holdingAll = (sql: Sql, connections: number) =>
  Effect.gen(function*() {
    const held = yield* Deferred.make<void>()
    const end = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkScoped(Effect.scoped(
      Effect.zipRight(
        Effect.all(Array.from({ length: connections }, () => sql.reserve)),
        Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(end))
      )
    ))
    yield* Effect.raceFirst(Deferred.await(held), Fiber.join(fiber))
    return Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber))
  })

/** Has another connection lock a row, until the answer is run. */
export const lockingRow = (sql: Sql, table: string, key: string) =>
  holding(sql, sql.unsafe(`SELECT FROM ${table} WHERE key = $1 FOR UPDATE`, [key]))

/** What every connection of a pool gives, all of them at once. */
export const onEach = <A>(
  sql: Sql,
  connections: number,
  use: (statement: (text: string) => Effect.Effect<ReadonlyArray<Record<string, unknown>>, SqlError>) => Effect.Effect<
    A,
    SqlError
  >
) =>
  Effect.scoped(Effect.flatMap(
    Effect.all(Array.from({ length: connections }, () => sql.reserve), { concurrency: "unbounded" }),
    Effect.forEach((connection) => use((text) => connection.execute(text, [], undefined)))
  ))

/** Until a look at the server shows what is expected. */
export const until = <A, E>(look: Effect.Effect<A, E>, isSo: (value: A) => boolean) =>
  look.pipe(
    Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: isSo }),
    Effect.timeout("15 seconds")
  )

/** Until so many connections of a client wait for a lock. */
export const blocked = (sql: Sql, applicationName: string, count: number) =>
  until(
    sql<{ readonly pid: number }>`SELECT pid FROM pg_stat_activity
      WHERE application_name = ${applicationName} AND wait_event_type = 'Lock'`,
    (rows) => rows.length === count
  )
