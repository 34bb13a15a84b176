/** Schemas and databases of a test's own, on the server that the tests share. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, ExecutionStrategy, Exit, Redacted, Scope } from "effect"
import { inject } from "vitest"
import { freshSchema } from "./postgres/databases.js"
import * as shared from "./postgres/shared.js"

const run = <A, E>(config: PgClient.PgClientConfig, use: (sql: PgClient.PgClient) => Effect.Effect<A, E>) =>
  PgClient.make(config).pipe(Effect.flatMap(use), Effect.scoped, Effect.provide(Reactivity.layer))

const postgres = inject("postgres")
const url = "url" in postgres ? postgres.url : ""

/** On the shared server, in no schema or database of one's own. */
const outside = <A, E>(use: (sql: PgClient.PgClient) => Effect.Effect<A, E>) => run({ url: Redacted.make(url) }, use)

/** What `current` gives in one of one's own, and after its scope has closed the rows that `find` has for it. */
const kinds = [
  {
    current: "current_schema()",
    find: "SELECT FROM pg_namespace WHERE nspname = ",
    fresh: shared.freshSchema,
    name: "freshSchema",
    unavailable: shared.unavailable
  },
  {
    current: "current_database()",
    find: "SELECT FROM pg_database WHERE datname = ",
    fresh: shared.freshDatabase,
    name: "freshDatabase",
    unavailable: shared.databasesUnavailable
  }
]

for (const { current, find, fresh, name, unavailable } of kinds) {
  shared.describeUnless(unavailable, name, () => {
    it.effect("is empty, is one's own, and is gone afterwards with all that is in it", () =>
      Effect.gen(function*() {
        const names = yield* Effect.forEach([1, 2, 3, 4], (n) =>
          Effect.scoped(Effect.gen(function*() {
            const config = yield* fresh
            // One client may find what another has made.
            yield* run(config, (sql) =>
              Effect.all([
                sql`CREATE TABLE log AS SELECT ${n}::int AS n`,
                sql`CREATE VIEW last AS SELECT max(n) AS n FROM log`
              ]))
            const [row] = yield* run(
              config,
              (sql) => sql<{ n: number; name: string }>`SELECT n, ${sql.literal(current)}::text AS name FROM last`
            )
            deepStrictEqual(row?.n, n)
            const name = row?.name ?? ""
            deepStrictEqual((yield* outside((sql) => sql.unsafe(`${find}'${name}'`))).length, 1)
            return name
          })), { concurrency: "unbounded" })
        deepStrictEqual(new Set(names).size, 4)
        for (const name of names) {
          assert.match(name, /^effect_kv_[0-9a-f]{32}$/)
          deepStrictEqual(yield* outside((sql) => sql.unsafe(`${find}'${name}'`)), [])
        }
      }))

    it.scoped("is gone though a client is still connected", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
        const config = yield* Scope.extend(fresh, scope)
        yield* run(config, (sql) =>
          Effect.gen(function*() {
            const [{ name } = { name: "" }] = yield* sql<{ name: string }>`SELECT ${sql.literal(current)}::text AS name`
            yield* sql`CREATE TABLE log (n integer)`
            yield* Scope.close(scope, Exit.void)
            deepStrictEqual(yield* outside((sql) => sql.unsafe(`${find}'${name}'`)), [])
          }))
      }))
  })
}

shared.describeUnless(shared.unavailable, "a fresh schema of a url that has options", () => {
  it.scoped("has them too", () =>
    Effect.gen(function*() {
      const given = new URL(url)
      given.searchParams.set("options", "-c effect_kv.sum=a+b")
      const config = yield* freshSchema(given.href)
      const [row] = yield* run(config, (sql) =>
        sql<{ schema: string; sum: string }>`SELECT current_schema() AS schema,
          current_setting('effect_kv.sum') AS sum`)
      deepStrictEqual(row?.sum, "a+b")
      assert.match(row?.schema ?? "", /^effect_kv_/)
    }))
})
