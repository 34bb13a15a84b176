/** Storage and the user's own SQL, on a bare client and next to another client. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Deferred, Effect, Fiber, Layer, Option, Predicate, Queue, Stream, TestClock } from "effect"
import { Sqlite, Storage } from "effect-kv"
import { statSync } from "node:fs"
import * as path from "node:path"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { tempFolder } from "./support.js"

const sql = SqlClient.SqlClient

const bare = Layer.provideMerge(
  Storage.layer({ sweep: false }),
  Layer.orDie(SqliteClient.layer({ filename: ":memory:" }))
)

const facade = Layer.provideMerge(Storage.layer({ sweep: false }), Sqlite.layer({ filename: ":memory:" }))

const onPostgres = Layer.unwrapScoped(Effect.map(
  Effect.orDie(freshSchema),
  (schema) => Layer.provideMerge(Storage.layer({ sweep: false }), Layer.orDie(PgClient.layer(schema)))
))

for (
  const { layer, name, why } of [
    { layer: bare, name: "a bare client", why: undefined },
    { layer: facade, name: "the client of Sqlite.layer", why: undefined },
    { layer: onPostgres, name: "PostgreSQL", why: unavailable }
  ]
) {
  describeUnless(why, `rule 9: one transaction with the user's SQL, on ${name}`, () => {
    it.effect("stores join the user's transaction", () =>
      Effect.gen(function*() {
        const client = yield* sql
        const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        yield* client`CREATE TABLE mine (n INTEGER)`
        const both = Effect.gen(function*() {
          yield* client`INSERT INTO mine (n) VALUES (1)`
          yield* keyspace.set("k", "v")
          yield* keyspace.setMany([{ expiresAt: undefined, key: "l", value: "v" }])
          yield* keyspace.modify("m", () => [undefined, Storage.put("v")])
          return yield* keyspace.stat()
        })
        assert.strictEqual(yield* Effect.flip(client.withTransaction(Effect.zipRight(both, Effect.fail("no")))), "no")
        assert.strictEqual((yield* keyspace.stat()).entries, 0)
        deepStrictEqual(yield* client`SELECT n FROM mine`, [])
        assert.strictEqual((yield* client.withTransaction(both)).entries, 3)
        assert.strictEqual((yield* keyspace.stat()).entries, 3)
        assert.strictEqual((yield* client`SELECT n FROM mine`).length, 1)
      }).pipe(Effect.provide(layer)))

    it.effect("the user's SQL joins a transaction of Storage, which nests in the user's", () =>
      Effect.gen(function*() {
        const client = yield* sql
        const storage = yield* Storage.Storage
        const keyspace = yield* storage.keyspace("test")
        yield* client`CREATE TABLE mine (n INTEGER)`
        const write = Effect.zipRight(client`INSERT INTO mine (n) VALUES (1)`, keyspace.set("k", "v"))
        yield* Effect.flip(storage.transaction(Effect.zipRight(write, Effect.fail("no"))))
        deepStrictEqual(yield* client`SELECT n FROM mine`, [])
        yield* client.withTransaction(Effect.gen(function*() {
          yield* keyspace.set("outer", "v")
          yield* Effect.ignore(storage.transaction(Effect.zipRight(write, Effect.fail("no"))))
          yield* storage.transaction(Effect.zipRight(write, client.withTransaction(keyspace.set("inner", "v"))))
        }))
        assert.strictEqual((yield* client`SELECT n FROM mine`).length, 1)
        assert.strictEqual((yield* keyspace.stat()).entries, 3)
      }).pipe(Effect.provide(layer)))

    it.effect("acknowledged writes of other fibers survive the user's rollback", () =>
      Effect.gen(function*() {
        const client = yield* sql
        const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        const rolledBack = Effect.flip(client.withTransaction(Effect.gen(function*() {
          for (let i = 0; i < 5; i++) {
            yield* keyspace.set("inside", `${i}`)
            yield* Effect.yieldNow()
          }
          return yield* Effect.fail("no")
        })))
        const fiber = yield* Effect.fork(Effect.repeatN(rolledBack, 20))
        yield* Effect.withMaxOpsBeforeYield(
          Effect.forEach(Array.from({ length: 200 }, (_, i) => `k${i}`), (key) => keyspace.set(key, "v"), {
            concurrency: 5,
            discard: true
          }),
          15
        )
        yield* Fiber.join(fiber)
        assert.strictEqual((yield* keyspace.stat({ prefix: "k" })).entries, 200)
        assert.isTrue(Option.isNone(yield* keyspace.get("inside")))
      }).pipe(Effect.provide(layer)))

    it.effect("another client's transaction is not joined", () =>
      Effect.gen(function*() {
        const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        const other = yield* Layer.build(Layer.fresh(Sqlite.layer({ filename: ":memory:" })))
        const strangers = yield* Effect.provide(sql, other)
        yield* Effect.flip(strangers.withTransaction(Effect.zipRight(keyspace.set("k", "v"), Effect.fail("no"))))
        assert.isTrue(Option.isSome(yield* keyspace.get("k")))
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect("two Storages on one client are in one transaction", () =>
      Effect.gen(function*() {
        const client = yield* sql
        const open = Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        const first = yield* open
        const context = yield* Layer.build(Layer.fresh(Storage.layer({ sweep: false }))).pipe(
          Effect.provideService(SqlClient.SqlClient, client)
        )
        const storage = yield* Storage.Storage
        const second = yield* Effect.provide(open, context)
        yield* Effect.flip(storage.transaction(
          Effect.all([first.set("a", "v"), second.set("b", "v"), Effect.fail("no")])
        ))
        assert.strictEqual((yield* first.stat()).entries, 0)
        yield* storage.transaction(Effect.all([first.set("a", "v"), second.set("b", "v")]))
        assert.strictEqual((yield* second.stat()).entries, 2)
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect("statements that return rows as arrays, raw results and streams work in and out of a transaction", () =>
      Effect.gen(function*() {
        const client = yield* sql
        const check = Effect.gen(function*() {
          deepStrictEqual(yield* client`SELECT 1 AS n, 2 AS m`.values, [[1, 2]])
          deepStrictEqual(yield* client`SELECT 1 AS n`.unprepared, [{ n: 1 }])
          const raw = yield* client`SELECT 1 AS n`.raw
          deepStrictEqual(Predicate.hasProperty(raw, "rows") ? raw.rows : raw, [{ n: 1 }])
        })
        yield* check
        yield* client.withTransaction(check)
      }).pipe(Effect.provide(layer)))
  })
}

describe("rule 8: tables of another version", () => {
  it.effect("a database of a newer version is refused", () =>
    Effect.gen(function*() {
      const client = yield* sql
      yield* client`INSERT INTO kv_migrations (version) VALUES (99)`
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.fresh(Storage.layer()))))
      assert.strictEqual(error.reason, "Incompatible")
      assert.include(error.message, "upgrade")
    }).pipe(Effect.provide(facade)))

  it.effect("a database that is not in UTF-8 is refused, because its keys have another order", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Layer.build(Layer.provide(
          Storage.layer(),
          Layer.tap(Sqlite.layer({ filename: ":memory:" }), (context) =>
            Effect.provide(
              Effect.flatMap(sql, (sql) => Effect.zipRight(sql`PRAGMA encoding = 'UTF-16le'`, sql`CREATE TABLE t (a)`)),
              context
            ))
        ))
      )
      assert(error._tag === "StorageError" && error.reason === "Incompatible")
      assert.include(error.message, "UTF-16le")
    }).pipe(Effect.scoped))
})

describe("maintenance.compact", () => {
  it.effect("gives free room back to the file system, and ends where the database keeps it", () =>
    Effect.gen(function*() {
      for (const autoVacuum of ["INCREMENTAL", "NONE"] as const) {
        const folder = yield* tempFolder
        const filename = path.join(folder, "kv.db")
        const sizes = yield* Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("test")
          yield* keyspace.setMany(
            Array.from({ length: 3000 }, (_, i) => ({ expiresAt: 1, key: `k${i}`, value: "x".repeat(1000) }))
          )
          yield* Sqlite.checkpoint
          const before = statSync(filename).size
          yield* TestClock.setTime(10)
          assert.strictEqual(yield* storage.maintenance.compact, 3000)
          yield* Sqlite.checkpoint
          return [before, statSync(filename).size] as const
        }).pipe(
          Effect.provide(Layer.provideMerge(Storage.layer({ sweep: false }), Sqlite.layer({ autoVacuum, filename })))
        )
        if (autoVacuum === "INCREMENTAL") assert.isBelow(sizes[1], sizes[0] / 10)
        else assert.strictEqual(sizes[1], sizes[0])
      }
    }).pipe(Effect.scoped))
})

describe("what a fiber that outlives its transaction cannot do", () => {
  it.effect("reserve the connection", () =>
    Effect.gen(function*() {
      const client = yield* sql
      const go = yield* Deferred.make<void>()
      const fiber = yield* client.withTransaction(Effect.forkDaemon(
        Effect.zipRight(Deferred.await(go), Effect.flip(Effect.scoped(client.reserve)))
      ))
      yield* Deferred.succeed(go, undefined)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "SqlError")
    }).pipe(Effect.provide(facade)))

  it.effect("write into another transaction, on a bare client", () =>
    Effect.gen(function*() {
      const client = yield* sql
      const storage = yield* Storage.Storage
      const keyspace = yield* storage.keyspace("test")
      const go = yield* Deferred.make<void>()
      const fiber = yield* client.withTransaction(Effect.zipRight(
        keyspace.set("first", "v"),
        Effect.forkDaemon(Effect.zipRight(Deferred.await(go), Effect.flip(keyspace.set("late", "v"))))
      ))
      yield* Effect.flip(storage.transaction(Effect.gen(function*() {
        yield* keyspace.set("other", "v")
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.await(fiber)
        return yield* Effect.fail("no")
      })))
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "StorageError" && error.reason === "Closed")
      assert.strictEqual((yield* keyspace.stat()).entries, 1)
    }).pipe(Effect.provide(bare)))
})

describe("two Storages", () => {
  it.live("that are built at once on a busy bare client share one access", () =>
    Effect.gen(function*() {
      const client = yield* Effect.provide(
        sql,
        yield* Layer.build(Layer.orDie(SqliteClient.layer({ filename: ":memory:" })))
      )
      const build = Effect.map(
        Effect.provideService(Layer.build(Layer.fresh(Storage.layer({ sweep: false }))), SqlClient.SqlClient, client),
        Context.get(Storage.Storage)
      )
      const held = yield* Effect.fork(Effect.scoped(Effect.zipRight(client.reserve, Effect.sleep("30 millis"))))
      yield* Effect.yieldNow()
      const [first, second] = yield* Effect.all([build, build], { concurrency: 2 })
      yield* Fiber.join(held)
      const keyspace = yield* first.keyspace("test")
      const other = yield* second.keyspace("test")
      yield* first.transaction(Effect.all([
        Effect.flip(first.transaction(Effect.zipRight(
          keyspace.set("a", "v"),
          Effect.zipRight(Effect.sleep("10 millis"), Effect.fail("no"))
        ))),
        second.transaction(other.set("b", "v"))
      ], { concurrency: 2 }))
      assert.isTrue(Option.isNone(yield* keyspace.get("a")))
      assert.isTrue(Option.isSome(yield* keyspace.get("b")))
    }).pipe(Effect.scoped))
})

describe("the user's client", () => {
  it.effect("takes part in the program's Reactivity", () =>
    Effect.gen(function*() {
      const client = yield* sql
      const reactivity = yield* Reactivity.Reactivity
      yield* client`CREATE TABLE mine (n INTEGER)`
      const seen = yield* Queue.unbounded<number>()
      yield* Effect.forkScoped(Stream.runForEach(
        client.reactive(["mine"], client<{ readonly n: number }>`SELECT count(*) AS n FROM mine`),
        ([row]) => Queue.offer(seen, row?.n ?? -1)
      ))
      assert.strictEqual(yield* Queue.take(seen), 0)
      yield* reactivity.mutation(["mine"], client`INSERT INTO mine (n) VALUES (1)`)
      assert.strictEqual(yield* Queue.take(seen), 1)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Sqlite.layer({ filename: ":memory:" }), Reactivity.layer))))

  it.effect("is not told for ever that a table is missing", () =>
    Effect.gen(function*() {
      const client = yield* sql
      const count = client<{ readonly n: number }>`SELECT count(*) AS n FROM later`
      yield* Effect.flip(count)
      yield* client`CREATE TABLE later (n INTEGER)`
      deepStrictEqual(yield* count, [{ n: 0 }])
      const storage = yield* Storage.Storage
      const stale = yield* Deferred.make<Storage.Keyspace>()
      yield* Effect.flip(storage.transaction(
        Effect.zipRight(Effect.flatMap(storage.keyspace("n"), (_) => Deferred.succeed(stale, _)), Effect.fail("no"))
      ))
      yield* Effect.flip(Stream.runDrain((yield* Deferred.await(stale)).entries()))
      yield* Stream.runDrain((yield* storage.keyspace("n")).entries())
    }).pipe(Effect.provide(facade)))
})

describe("fairness", () => {
  for (const [name, layer] of [["SQLite", facade], ["memory", Storage.layerMemory]] as const) {
    it.live(`of fibers that never pause each gets its turn, on ${name}`, () =>
      Effect.gen(function*() {
        const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        const turns = [0, 0, 0, 0]
        // Until the slowest has done its share; a starved one would keep the others going for ever.
        const loop = (i: number): Effect.Effect<void, unknown> =>
          Effect.suspend(() => {
            turns[i]!++
            return Math.min(...turns) >= 200 ? Effect.void : Effect.flatMap(keyspace.get("k"), () => loop(i))
          })
        yield* Effect.forEach(turns, (_, i) => loop(i), { concurrency: "unbounded" })
        assert.isBelow(Math.max(...turns), 100 * 200)
      }).pipe(Effect.provide(layer)))
  }
})
