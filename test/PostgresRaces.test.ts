/** What was lost once, on connections that several share or that somebody stopped. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Option, Redacted, Stream, TestClock } from "effect"
import { Storage } from "effect-kv"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { clientOf, openFresh, storageOn, withSettings } from "./postgres/stores.js"
import { keysOf } from "./support.js"

describeUnless(unavailable, "the user's SQL beside stores, on PostgreSQL", () => {
  for (const own of [true, false]) {
    it.scopedLive(`is kept where they have nothing to write, in ${own ? "Storage.transaction" : "its own"}`, () =>
      Effect.gen(function*() {
        const { keyspace, sql, storage } = yield* openFresh()
        yield* sql`CREATE TABLE mine (n INTEGER)`
        yield* keyspace.set("k", "v")
        const all = Effect.all([
          keyspace.modify("k", () => [undefined, Storage.keep]),
          keyspace.modify("absent", () => [undefined, Storage.keep]),
          sql`INSERT INTO mine VALUES (1) RETURNING n`
        ], { concurrency: "unbounded" })
        yield* own ? storage.transaction(all) : sql.withTransaction(all)
        deepStrictEqual(yield* sql`SELECT n FROM mine`, [{ n: 1 }])
        deepStrictEqual(yield* keysOf(keyspace), ["k"])
      }))
  }

  it.scopedLive("is kept beside a nested transaction that fails", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh()
      yield* sql`CREATE TABLE mine (n INTEGER)`
      yield* storage.transaction(Effect.all([
        Effect.ignore(storage.transaction(Effect.zipRight(keyspace.set("x", "v"), Effect.fail("no")))),
        sql`INSERT INTO mine VALUES (1) RETURNING n`
      ], { concurrency: "unbounded" }))
      deepStrictEqual(yield* sql`SELECT n FROM mine`, [{ n: 1 }])
      deepStrictEqual(yield* keysOf(keyspace), [])
    }))

  it.scopedLive("may be nested: savepoints on one connection do not cross", () =>
    Effect.gen(function*() {
      const { keyspace, sql } = yield* openFresh()
      const many = (key: string) =>
        Effect.replicateEffect(keyspace.modify(key, () => [undefined, Storage.put("v")]), 20, { discard: true })
      yield* sql.withTransaction(Effect.all([sql.withTransaction(many("a")), many("b")], { concurrency: 2 }))
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b"])
    }))

  it.scopedLive("that is lost to a conflict is tried again with the rest", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh()
      yield* sql`CREATE TABLE mine AS SELECT 0 AS n`
      const add = Effect.zipRight(keyspace.get("x"), sql`UPDATE mine SET n = n + 1`)
      yield* Effect.replicateEffect(storage.transaction(add, { retry: true }), 6, { concurrency: 6 })
      deepStrictEqual(yield* sql`SELECT n FROM mine`, [{ n: 6 }])
    }))

  it.scopedLive("may change how times are told", () =>
    Effect.gen(function*() {
      const { keyspace, sql } = yield* openFresh()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* keyspace.set("a", "v")
        yield* sql`SET LOCAL TIME ZONE 'Asia/Tokyo'`
        yield* sql`SET LOCAL DateStyle = 'German'`
        yield* keyspace.set("b", "v")
      }))
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b"])
    }))

  it.scopedLive("as a stream of a fiber that outlives Storage.transaction writes into no other", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* openFresh({ maxConnections: 1 })
      yield* sql`CREATE TABLE mine (n INTEGER)`
      const go = yield* Deferred.make<void>()
      const late = Stream.runCollect(sql`INSERT INTO mine VALUES (1) RETURNING n`.stream)
      const fiber = yield* storage.transaction(Effect.forkDaemon(Effect.zipRight(go, Effect.exit(late))))
      yield* sql.withTransaction(Effect.zipRight(Deferred.succeed(go, undefined), Fiber.join(fiber)))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      deepStrictEqual(yield* sql`SELECT n FROM mine`, [])
    }))
})

describeUnless(unavailable, "connections of PostgreSQL", () => {
  it.scopedLive("are brought out of a transaction whose ROLLBACK went wrong", () =>
    Effect.gen(function*() {
      const { url } = yield* freshSchema
      const limited = new URL(Redacted.value(url))
      limited.searchParams.set("query_timeout", "300")
      const sql = yield* clientOf({ maxConnections: 1, url: Redacted.make(limited.href.replaceAll("+", "%20")) })
      const other = yield* clientOf({ url })
      const keyspace = yield* Effect.flatMap(storageOn(sql), (storage) => storage.keyspace("test"))
      const storage = yield* storageOn(sql)
      const exit = yield* Effect.exit(
        storage.transaction(Effect.zipRight(keyspace.set("in", "v"), sql`SELECT pg_sleep(1)`))
      )
      assert.isTrue(Exit.isFailure(exit))
      yield* keyspace.set("acknowledged", "v")
      const seen = yield* Effect.flatMap(storageOn(other), (storage) => storage.keyspace("test"))
      deepStrictEqual(yield* keysOf(seen), ["acknowledged"])
    }))

  it.scopedLive("are brought out of a transaction whose BEGIN was cancelled", () =>
    Effect.gen(function*() {
      const { keyspace, other, sql } = yield* openFresh({ lockTimeout: "1 second", maxConnections: 1 })
      const [{ pid } = { pid: 0 }] = yield* sql<{ readonly pid: number }>`SELECT pg_backend_pid() AS pid`
      const cancelling = yield* Effect.fork(other.unsafe(
        `DO $$ BEGIN FOR i IN 1..800 LOOP PERFORM pg_cancel_backend(${pid}); PERFORM pg_sleep(0.001 + random() * 0.001); END LOOP; END $$`
      ))
      while (Option.isNone(yield* Fiber.poll(cancelling))) {
        yield* Effect.exit(keyspace.modify("k", () => [undefined, Storage.put("v")]))
      }
      yield* keyspace.set("k", "last")
      deepStrictEqual(
        yield* other`SELECT FROM pg_stat_activity WHERE pid = ${pid} AND state LIKE 'idle in%'`,
        []
      )
      yield* sql`SELECT 1`
    }))

  it.scopedLive("come back from reads that are interrupted, all of them at once", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* openFresh({ lockTimeout: "2 seconds", maxConnections: 2 })
      yield* keyspace.set("k", "v")
      for (let turns = 0; turns < 30; turns++) {
        const fibers = yield* Effect.replicateEffect(Effect.fork(keyspace.get("k")), 4)
        for (let i = 0; i < turns; i++) yield* Effect.yieldNow()
        yield* Fiber.interruptAll(fibers)
      }
      // Not Busy.
      yield* Effect.replicateEffect(keyspace.get("k"), 20, { concurrency: "unbounded" })
    }))
})

describeUnless(unavailable, "what PostgreSQL is told, and tells", () => {
  it.scoped("has whole milliseconds, whatever the clock says", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* openFresh()
      yield* TestClock.adjust(Duration.micros(500n))
      yield* keyspace.set("k", "v", 1)
      assert.isTrue(Option.isSome(yield* keyspace.get("k")))
      const clock = Object.assign(Clock.make(), { unsafeCurrentTimeMillis: () => 1000.5 })
      assert.isTrue(Option.isNone(yield* Effect.withClock(keyspace.get("k"), clock)))
    }))

  it.scopedLive("is bytes: a client that makes something else of them is refused", () =>
    Effect.gen(function*() {
      const config = yield* freshSchema
      const client = yield* clientOf({ ...config, types: { getTypeParser: () => (text: string) => text } })
      const error = yield* Effect.flip(storageOn(client))
      assert.strictEqual(error.reason, "Incompatible")
    }))

  it.scopedLive("is waited for once: a lock that is held for longer is not waited for again", () =>
    Effect.gen(function*() {
      const { keyspace, other, table } = yield* openFresh({ lockTimeout: "700 millis" })
      yield* keyspace.set("k", "v")
      yield* other.withTransaction(Effect.gen(function*() {
        yield* other.unsafe(`SELECT 1 FROM ${table} FOR UPDATE`)
        yield* keyspace.get("k")
        const start = performance.now()
        const error = yield* Effect.flip(keyspace.set("k", "w"))
        assert.strictEqual(error._tag === "StorageError" && error.reason, "Busy")
        assert.isBelow(performance.now() - start, 1300)
      }))
    }))

  it.scopedLive("is where to make tables: without a schema it fails in words", () =>
    Effect.gen(function*() {
      const config = withSettings(yield* freshSchema, { search_path: "nowhere" })
      const error = yield* Effect.flip(Effect.flatMap(clientOf(config), (client) => storageOn(client)))
      assert.strictEqual(error._tag === "StorageError" && error.reason, "Unavailable")
      assert.include(error.message, "search_path")
    }))
})
