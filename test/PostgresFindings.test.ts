/** What does not hold on PostgreSQL yet. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Option, Redacted } from "effect"
import { type Storage, type StorageError } from "effect-kv"
import { describeUnless, unavailable } from "./postgres/shared.js"
import { blocked, clientOf, holding, openFresh, storageOn, withSettings } from "./postgres/stores.js"
import { keysOf } from "./support.js"

describeUnless(unavailable, "on PostgreSQL", () => {
  const writes: Record<
    string,
    (keyspace: Storage.Keyspace) => Effect.Effect<unknown, StorageError.StorageError | StorageError.InvalidKey>
  > = {
    remove: (keyspace) => keyspace.remove("k"),
    removeExpired: (keyspace) => keyspace.removeExpired({ limit: 5 }),
    set: (keyspace) => keyspace.set("k", "new"),
    take: (keyspace) => keyspace.take({}, 1)
  }
  for (const [name, write] of Object.entries(writes)) {
    it.scopedLive(`the lock time-out bounds the wait of ${name} for a table`, () =>
      Effect.gen(function*() {
        const { applicationName, keyspace, other, table } = yield* openFresh({ lockTimeout: "150 millis" })
        yield* keyspace.set("k", "v")
        const release = yield* holding(other, other.unsafe(`LOCK TABLE ${table} IN SHARE MODE`))
        const fiber = yield* Effect.fork(Effect.exit(write(keyspace)))
        yield* blocked(other, applicationName, 1)
        yield* Effect.raceFirst(Fiber.await(fiber), Effect.sleep("1500 millis"))
        const inTime = Option.isSome(yield* Fiber.poll(fiber))
        // What still waits ends now.
        yield* release
        yield* Fiber.join(fiber)
        assert.isTrue(inTime)
      }))
  }

  it.scopedLive("an interruption ends reads that have every connection", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, table } = yield* openFresh({
        lockTimeout: "20 seconds",
        maxConnections: 2
      })
      const release = yield* holding(other, other.unsafe(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`))
      const fibers = yield* Effect.forEach([keyspace.get("k"), keyspace.get("k")], (read) => Effect.fork(read))
      yield* blocked(other, applicationName, 2)
      const start = performance.now()
      yield* Fiber.interruptAll(fibers)
      assert.isBelow(performance.now() - start, 3000)
      yield* release
      deepStrictEqual(yield* keyspace.get("k"), Option.none())
    }))

  it.scopedLive("a fiber that outlives the user's transaction writes into no other that has its connection", () =>
    Effect.gen(function*() {
      const { keyspace, sql } = yield* openFresh({ maxConnections: 1 })
      const go = yield* Deferred.make<void>()
      const late = Effect.zipRight(Deferred.await(go), Effect.exit(keyspace.set("late", "v")))
      const fiber = yield* sql.withTransaction(Effect.zipRight(keyspace.set("first", "v"), Effect.forkDaemon(late)))
      const told = yield* Deferred.make<Exit.Exit<void, unknown>>()
      yield* Effect.flip(sql.withTransaction(
        Deferred.succeed(go, undefined).pipe(
          Effect.zipRight(Deferred.complete(told, Fiber.join(fiber))),
          Effect.zipRight(Effect.fail("no"))
        )
      ))
      const exit = yield* Deferred.await(told)
      // It was told that it is written; that was rolled back.
      deepStrictEqual([Exit.isSuccess(exit), yield* keysOf(keyspace)], [false, ["first"]])
    }))

  it.scopedLive("a keyspace is where its catalog is, whichever other schemas are searched before", () =>
    Effect.gen(function*() {
      const { config, other, storage } = yield* openFresh()
      const [{ name } = { name: "" }] = yield* other<{ readonly name: string }>`SELECT current_schema() AS name`
      yield* Effect.acquireRelease(
        other.unsafe(`CREATE SCHEMA ${name}_mine`),
        () => Effect.orDie(other.unsafe(`DROP SCHEMA ${name}_mine CASCADE`))
      )
      const url = config.url ?? Redacted.make("")
      const client = yield* clientOf(withSettings({ url }, { search_path: `${name}_mine,${name}` }))
      const first = yield* Effect.flatMap(storageOn(client), (storage) => storage.keyspace("shared"))
      yield* first.set("k", "v")
      deepStrictEqual(yield* keysOf(yield* storage.keyspace("shared")), ["k"])
    }))
})
