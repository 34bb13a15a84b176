/** Races that were lost once. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option } from "effect"
import { Sqlite, Storage, type StorageError } from "effect-kv"

const on = (lockTimeout: "5 seconds" | "50 millis") =>
  Layer.provideMerge(Storage.layer({ sweep: false }), Sqlite.layer({ filename: ":memory:", lockTimeout }))

const bare = Layer.provideMerge(
  Storage.layer({ sweep: false }),
  Layer.orDie(SqliteClient.layer({ filename: ":memory:" }))
)

const open = Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))

/** A transaction that is open until it is told to end. */
const openTransaction = Effect.gen(function*() {
  const storage = yield* Storage.Storage
  const started = yield* Deferred.make<void>()
  const end = yield* Deferred.make<void>()
  const fiber = yield* Effect.fork(storage.transaction(
    Effect.zipRight(Deferred.succeed(started, undefined), Deferred.await(end))
  ))
  yield* Deferred.await(started)
  return { end: Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber)) }
})

describe("queued writes", () => {
  it.live("that are interrupted before they begin are never written", () =>
    Effect.gen(function*() {
      const keyspace = yield* open
      const transaction = yield* openTransaction
      // The first of the turn waits by itself, the others are queued behind the transaction.
      const writers = yield* Effect.forEach(
        ["a", "b", "c"],
        (value) => Effect.fork(keyspace.set("k", value))
      )
      for (let i = 0; i < 5; i++) yield* Effect.yieldNow()
      for (const writer of writers) yield* Fiber.interrupt(writer)
      yield* transaction.end
      yield* keyspace.setMany([{ expiresAt: undefined, key: "k", value: "newest" }])
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
      assert.strictEqual(Option.getOrUndefined(yield* keyspace.get("k"))?.value, "newest")
    }).pipe(Effect.provide(on("5 seconds"))))

  it.live("each have the whole time-out", () =>
    Effect.gen(function*() {
      const keyspace = yield* open
      const transaction = yield* openTransaction
      const write = (key: string) => Effect.fork(Effect.exit(keyspace.set(key, "v")))
      yield* Effect.all([write("a"), write("b")])
      yield* Effect.sleep("40 millis")
      const late = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), Effect.exit(keyspace.set("late", "v"))))
      yield* Effect.sleep("25 millis")
      yield* transaction.end
      assert.strictEqual((yield* Fiber.join(late))._tag, "Success")
    }).pipe(Effect.provide(on("50 millis"))))

  it.live("do not keep a transaction waiting that asks for a flush", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* open
      const writers = yield* storage.transaction(Effect.gen(function*() {
        const writers = yield* Effect.forEach(
          ["a", "b", "c"],
          (key) => Effect.forkDaemon(keyspace.set(key, "v"))
        )
        yield* storage.maintenance.flush
        return writers
      }))
      yield* Effect.forEach(writers, Fiber.await)
      yield* keyspace.set("after", "v")
    }).pipe(Effect.provide(on("50 millis"))))
})

describe("a long clear that outlives its transaction", () => {
  it.live("ends with it, and deletes nothing", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* open
      const count = 60_000
      yield* keyspace.setMany(
        Array.from({ length: count }, (_, i) => ({ expiresAt: undefined, key: `k${i}`, value: "v" }))
      )
      const clearing = yield* Deferred.make<
        Fiber.RuntimeFiber<number, StorageError.StorageError | StorageError.InvalidKey>
      >()
      yield* Effect.flip(storage.transaction(Effect.gen(function*() {
        yield* Deferred.succeed(clearing, yield* Effect.forkDaemon(keyspace.clear({ prefix: "k" })))
        yield* Effect.sleep("5 millis")
        return yield* Effect.fail("no")
      })))
      const exit = yield* Fiber.await(yield* Deferred.await(clearing))
      // A quick machine may have finished it inside of the transaction, which was rolled back as well.
      assert.include(["Success", "Failure"], exit._tag)
      assert.strictEqual((yield* keyspace.stat()).entries, count)
    }).pipe(Effect.provide(on("50 millis"))))
})

describe("a statement of the user's that ends the transaction", () => {
  for (const [name, layer] of [["the client of Sqlite.layer", on("5 seconds")], ["a bare client", bare]] as const) {
    it.live(`is noticed, on ${name}`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const storage = yield* Storage.Storage
        const keyspace = yield* open
        yield* sql`CREATE TABLE mine (n INTEGER PRIMARY KEY)`
        yield* sql`INSERT INTO mine (n) VALUES (1)`
        yield* Effect.flip(storage.transaction(Effect.gen(function*() {
          yield* keyspace.set("before", "v")
          yield* Effect.ignore(sql`INSERT OR ROLLBACK INTO mine (n) VALUES (1)`)
          yield* keyspace.set("after", "v")
        })))
        assert.strictEqual((yield* keyspace.stat()).entries, 0)
        yield* storage.transaction(keyspace.set("k", "v"))
        assert.strictEqual((yield* keyspace.stat()).entries, 1)
      }).pipe(Effect.provide(layer)))
  }
})

describe("the kind of a keyspace", () => {
  it.live("is kept when another fiber's transaction is rolled back, in memory", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.flip(storage.transaction(
        Deferred.succeed(started, undefined).pipe(
          Effect.zipRight(Effect.sleep("5 millis")),
          Effect.zipRight(Effect.fail("no"))
        )
      )))
      yield* Deferred.await(started)
      yield* storage.keyspace("x")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* Effect.flip(storage.keyspace("x", { keys: "bytes" }))).reason, "Incompatible")
    }).pipe(Effect.provide(Storage.layerMemory)))
})
