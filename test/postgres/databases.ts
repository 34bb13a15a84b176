/** Schemas and databases of a test's own on a server that others use too, gone when the scope closes. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Redacted, Scope } from "effect"
import { randomUUID } from "node:crypto"

/** One client a server, for as long as the process lives: a connection of its own for each test would cost more than that. */
const clients = new Map<string, PgClient.PgClient>()

const clientOf = (url: string) =>
  Effect.suspend(() => {
    const known = clients.get(url)
    return known !== undefined ? Effect.succeed(known) : Scope.make().pipe(
      Effect.flatMap((forever) => Scope.extend(PgClient.make({ maxConnections: 1, url: Redacted.make(url) }), forever)),
      Effect.provide(Reactivity.layer),
      Effect.tap((client) => Effect.sync(() => clients.set(url, client)))
    )
  })

const run = (url: string, ...statements: ReadonlyArray<string>) =>
  Effect.flatMap(
    clientOf(url),
    (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
  )

/** What a test leaves locked fails it, rather than to keep it waiting for ever. */
const patience = "SET lock_timeout = '10s'"

const fresh = (options: {
  readonly create: (name: string) => string
  readonly drop: (name: string) => string
  readonly into: (url: URL, name: string) => void
}) =>
(url: string): Effect.Effect<{ readonly url: Redacted.Redacted }, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      // Not by Effect's Random: two tests with one seed would get one name.
      const name = `effect_kv_${randomUUID().replaceAll("-", "")}`
      return Effect.as(run(url, options.create(name)), name)
    }),
    (name) => Effect.orDie(run(url, patience, options.drop(name)))
  ).pipe(
    Effect.map((name) => {
      const target = new URL(url)
      options.into(target, name)
      return { url: Redacted.make(target.href) }
    })
  )

/** A schema, as configuration for a `PgClient` to which it is the only one. Needs the right to create schemas. */
export const freshSchema = fresh({
  create: (name) => `CREATE SCHEMA ${name}`,
  drop: (name) => `DROP SCHEMA ${name} CASCADE`,
  into: (url, name) => {
    const options = url.searchParams.get("options")
    url.searchParams.set("options", `${options === null ? "" : `${options} `}-c search_path=${name}`)
    // PostgreSQL's own tools take a plus for a plus.
    url.search = url.search.replaceAll("+", "%20")
  }
})

/** A database, as configuration for a `PgClient`. Needs the right to create databases, and PostgreSQL 15. */
export const freshDatabase = fresh({
  create: (name) => `CREATE DATABASE ${name} TEMPLATE template0 STRATEGY file_copy`,
  drop: (name) => `DROP DATABASE ${name} WITH (FORCE)`,
  into: (url, name) => {
    url.pathname = name
  }
})
