/** Several processes on one PostgreSQL database. What they contend for is in FaultsProcesses.test.ts. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option, Redacted } from "effect"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { clientOf, openOn, rowsOf, storageOn, until } from "./postgres/stores.js"
import { child } from "./support.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

describeUnless(unavailable, "processes on PostgreSQL", () => {
  it.scopedLive("that start at once on an empty schema all succeed, and sums are exact", () =>
    Effect.gen(function*() {
      const config = yield* freshSchema
      const processes = yield* Effect.forEach(
        numbers(10),
        () => child("increment.ts", [Redacted.value(config.url), "5"]),
        { concurrency: "unbounded" }
      )
      for (const { line } of processes) deepStrictEqual(yield* line, "ready")
      for (const { send } of processes) yield* send("go")
      for (const { line } of processes) deepStrictEqual(yield* line, "done")
      const sql = yield* clientOf(config)
      const storage = yield* storageOn(sql)
      for (const name of ["first", "second"]) {
        const keyspace = yield* storage.keyspace(name)
        deepStrictEqual(Option.getOrThrow(yield* keyspace.get("counter")).value, "50")
      }
      deepStrictEqual(
        yield* sql`SELECT version FROM kv_migrations UNION ALL SELECT count(*) FROM kv_catalog`,
        [{ version: "1" }, { version: "2" }]
      )
    }), 60_000)

  it.scopedLive("that sweep remove each row once", () =>
    Effect.gen(function*() {
      const { config, keyspace, other, table } = yield* openOn(yield* freshSchema)
      const url = Redacted.value(config.url ?? Redacted.make(""))
      const processes = yield* Effect.forEach([1, 2], () => child("expire.ts", [url]), { concurrency: 2 })
      for (const { line } of processes) deepStrictEqual(yield* line, "ready")
      const count = 1000
      yield* keyspace.setMany(numbers(count).map((i) => ({ expiresAt: 1, key: `k${i}`, value: "v" })))
      yield* keyspace.set("stays", "v")
      yield* until(rowsOf(other, table), (rows) => rows.length === 1)
      let removed = 0
      for (const { line, send } of processes) {
        yield* send("stop")
        const told = yield* line
        assert.match(told, /^removed /)
        removed += Number(told.replace("removed ", ""))
      }
      deepStrictEqual(removed, count)
    }))
})
