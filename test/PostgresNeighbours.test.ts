/** Those who have the same connection, or the same schemas. */
import { it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Redacted } from "effect"
import { describeUnless, unavailable } from "./postgres/shared.js"
import { clientOf, openFresh, storageOn, withSettings } from "./postgres/stores.js"
import { keysOf } from "./support.js"

describeUnless(unavailable, "neighbours on PostgreSQL", () => {
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
