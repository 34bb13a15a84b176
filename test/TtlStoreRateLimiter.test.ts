import { RateLimiter } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Duration, Effect, Fiber, Layer, TestClock } from "effect"
import { Storage, StorageError, TtlStore } from "effect-kv"
import { kinds, memory, sqliteMemory } from "./engines.js"
import { failingWith } from "./failing.js"
import { suite } from "./suites/rateLimiter.js"

for (const engine of kinds) suite(engine)

const refillRate = Duration.millis(100)

describe("TtlStore.layerRateLimiter", () => {
  it.effect("says what the engine said", () =>
    Effect.gen(function*() {
      const store = yield* RateLimiter.RateLimiterStore
      for (
        const effect of [
          store.fixedWindow({ key: "k", limit: 1, refillRate, tokens: 1 }),
          store.tokenBucket({ allowOverflow: false, key: "k", limit: 1, refillRate, tokens: 1 })
        ]
      ) {
        const error = yield* Effect.flip<unknown, RateLimiter.RateLimiterError, never>(effect)
        assert(error instanceof RateLimiter.RateLimitStoreError)
        assert(error.cause instanceof StorageError.StorageError)
        assert.strictEqual(error.cause.reason, "Busy")
        assert.strictEqual(error.message, error.cause.message)
      }
    }).pipe(Effect.provide(TtlStore.layerRateLimiter()), Effect.provide(failingWith("Busy"))))

  it.effect("says what is wrong with a call", () =>
    Effect.gen(function*() {
      const store = yield* RateLimiter.RateLimiterStore
      const raw = yield* Effect.flatMap(Storage.Storage, ({ keyspace }) => keyspace("ratelimiter"))
      const right = { allowOverflow: true, key: "k", limit: 1, refillRate, tokens: 1 }
      for (
        const [wrong, message] of [
          [{ tokens: NaN }, "tokens is a finite number, not NaN"],
          [{ tokens: Infinity }, "tokens is a finite number, not Infinity"],
          [{ limit: NaN }, "the limit is a number, not NaN"],
          // What the types forbid.
          [{ key: 1 as never }, "the key is a string, not 1"],
          [{ limit: "1" as never }, "the limit is a number, not \"1\""],
          [{ refillRate: "soon" as never }, "\"soon\" is no duration"]
        ] as const
      ) {
        for (const call of [store.fixedWindow, store.tokenBucket]) {
          const error = yield* Effect.flip(
            Effect.asVoid<unknown, RateLimiter.RateLimiterError, never>(call({ ...right, ...wrong }))
          )
          assert(error instanceof RateLimiter.RateLimitStoreError)
          assert.include(error.message, message)
        }
      }
      assert.strictEqual((yield* raw.stat()).entries, 0)
    }).pipe(Effect.provide(TtlStore.layerRateLimiter()), Effect.provide(Storage.layerMemory)))

  it.effect("fails the layer if its keyspace does not open", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(Storage.Storage, ({ keyspace }) => keyspace("of bytes", { keys: "bytes" }))
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(TtlStore.layerRateLimiter({ keyspace: "of bytes" })))
      )
      assert.strictEqual(error.reason, "Incompatible")
    }).pipe(Effect.provide(Storage.layerMemory)))

  // Where there is one connection, so that there is something to wait for.
  for (const { layer, name } of [sqliteMemory, memory]) {
    it.effect(`goes by the time at which it has waited for the connection, on ${name}`, () =>
      Effect.gen(function*() {
        const store = yield* RateLimiter.RateLimiterStore
        const storage = yield* Storage.Storage
        const ask = Effect.all([
          store.fixedWindow({ key: "k", limit: 1, refillRate, tokens: 1 }),
          store.tokenBucket({ allowOverflow: false, key: "k", limit: 1, refillRate, tokens: 1 })
        ], { concurrency: "unbounded" })
        deepStrictEqual(yield* ask, [[1, 100], 0])
        const [held, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const holding = yield* Effect.fork(
          storage.transaction(Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(go)))
        )
        yield* Deferred.await(held)
        const asking = yield* Effect.fork(ask)
        yield* TestClock.adjust(100)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(holding)
        deepStrictEqual(yield* Fiber.join(asking), [[1, 100], 0])
        // What was taken is taken from now on, and not from when it was asked for.
        deepStrictEqual(yield* ask, [[2, 100], -1])
      }).pipe(Effect.provide(Layer.provideMerge(TtlStore.layerRateLimiter(), layer))))
  }
})
