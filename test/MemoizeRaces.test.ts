/** What a review of memoised functions has found wrong: each fails until that is mended. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Metric, Option, Request, RequestResolver, Schema, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import { describeOn, memory, postgres } from "./engines.js"
import { seenThrough } from "./failing.js"
import { counting, origin, testOn, underWay } from "./memoized.js"
import { openFresh } from "./postgres/stores.js"

class Square extends Schema.TaggedRequest<Square>()("Square", {
  failure: Schema.Never,
  payload: { of: Schema.Number },
  success: Schema.Number
}) {}

describe("Memoize", () => {
  const test = testOn(memory)

  it.scopedLive("a resolver that uses the storage is in the transaction of its caller", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* storage.keyspace("numbers")
      const resolver = yield* Memoize.request(
        { request: Square, timeToLive: "1 day" },
        RequestResolver.makeBatched((squares: ReadonlyArray<Square>) =>
          Effect.forEach(
            squares,
            (square) =>
              Effect.flatMap(
                Effect.orDie(keyspace.get("factor")),
                (factor) => Request.succeed(square, square.of * (Option.isSome(factor) ? 2 : 1))
              ),
            { discard: true }
          )
        )
      )
      const answer = storage.transaction(
        Effect.zipRight(keyspace.set("factor", "2"), Effect.request(new Square({ of: 3 }), resolver))
      )
      deepStrictEqual(yield* Effect.timeoutOption(answer, "2 seconds"), Option.some(6))
    }).pipe(Effect.provide(memory.layer)))

  test(
    "a refresh of a resolver in the background goes on after the soft timeout",
    Effect.gen(function*() {
      let calls = 0
      const resolver = yield* Memoize.request(
        {
          request: Square,
          softTimeout: "1 second",
          staleIfError: "1 hour",
          staleWhileRevalidate: "1 hour",
          timeToLive: "1 minute"
        },
        RequestResolver.makeBatched((squares: ReadonlyArray<Square>) =>
          Effect.suspend(() => {
            const call = ++calls
            return Effect.zipRight(
              call === 1 ? Effect.void : Effect.sleep("5 seconds"),
              Effect.forEach(squares, (square) => Request.succeed(square, call), { discard: true })
            )
          })
        )
      )
      const ask = Effect.withRequestCaching(Effect.request(new Square({ of: 3 }), resolver), false)
      assert.strictEqual(yield* ask, 1)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* ask, 1)
      yield* memory.turns
      yield* TestClock.adjust("1 second")
      yield* memory.turns
      yield* TestClock.adjust("10 seconds")
      yield* memory.turns
      assert.strictEqual(yield* ask, 2)
    })
  )

  it.effect("a caller that is interrupted while it reads leaves nothing behind", () => {
    let holding = true
    const layer = seenThrough((keyspace) => ({
      ...keyspace,
      get: (key) => holding && keyspace.name === "memo/reviewed" ? Effect.never : keyspace.get(key)
    }))
    return Effect.gen(function*() {
      const { memo } = yield* counting({ name: "reviewed" })
      const reader = yield* underWay(memory, memo("a"))
      yield* Fiber.interrupt(reader)
      holding = false
      yield* memo("a")
      const collapsed = Metric.value(Metric.tagged(Memoize.metrics.collapsed, "memo", "reviewed"))
      const before = yield* collapsed
      // Nobody else asks: one after the other, of which the first may be slower.
      yield* memo("a")
      yield* memo("a")
      assert.strictEqual((yield* collapsed).count - before.count, 0)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  test(
    "the signal of a promise comes after its arguments, also if an optional one is left out",
    Effect.gen(function*() {
      const seen: Array<ReadonlyArray<string>> = []
      const memo = yield* Memoize.promise({
        args: Schema.Tuple(Schema.String, Schema.optionalElement(Schema.Number)),
        name: "optional",
        success: Schema.Number,
        timeToLive: "1 minute"
      }, (...args) => {
        seen.push(args.map((arg) => typeof arg))
        return 1
      })
      yield* memo("a")
      deepStrictEqual(seen, [["string", "undefined", "object"]])
    })
  )

  test(
    "an infinite back-off keeps the stale answer",
    Effect.gen(function*() {
      const { memo } = yield* counting(
        { backOff: Infinity, staleIfError: "1 hour" },
        (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
      )
      assert.strictEqual(yield* memo("a"), 1)
      yield* TestClock.adjust("2 minutes")
      deepStrictEqual(yield* Effect.exit(memo("a")), Exit.succeed(1))
      deepStrictEqual(yield* Effect.exit(memo("a")), Exit.succeed(1))
    })
  )

  test(
    "what has expired does not have a new answer go",
    Effect.gen(function*() {
      const { calls, memo } = yield* counting({ maxEntries: 2, timeToLive: "500 millis" })
      yield* memo("a")
      yield* memo("b")
      yield* TestClock.adjust("600 millis")
      yield* memo("c")
      yield* memo("c")
      assert.strictEqual(calls(), 3)
    })
  )

  test(
    "what was refreshed and is not stored is not answered by what was before",
    Effect.gen(function*() {
      let isPrivate = false
      const { memo } = yield* counting({ timeToLive: () => isPrivate ? 0 : "1 hour" })
      assert.strictEqual(yield* memo("a"), 1)
      isPrivate = true
      assert.strictEqual(yield* memo.refresh("a"), 2)
      assert.notStrictEqual(yield* memo("a"), 1)
    })
  )

  test(
    "an early refresh that has failed is backed off",
    Effect.gen(function*() {
      const { calls, memo } = yield* counting(
        { backOff: "1 hour", earlyRefresh: { beta: 1e9 }, timeToLive: "1 hour" },
        (call) => call === 1 ? Effect.delay(Effect.succeed(1), "1 second") : Effect.fail("down")
      )
      const first = yield* underWay(memory, memo("a"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      for (let i = 0; i < 5; i++) {
        yield* memo("a")
        yield* memory.turns
      }
      assert.strictEqual(calls(), 2)
    })
  )

  test(
    "a test double has no defect for what has no key",
    Effect.gen(function*() {
      class Doubled extends Memoize.Tag<Doubled>()("Doubled", {
        args: Schema.Tuple(Schema.URLFromSelf),
        key: (url) => url.href,
        success: Schema.Number,
        timeToLive: "1 minute"
      }, () => Effect.succeed(1)) {}
      const keyOf = Effect.flatMap(Doubled, (doubled) => doubled.keyOf(new URL("http://localhost")))
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Effect.provide(keyOf, Doubled.layer))))
      const exit = yield* Effect.exit(Effect.provide(keyOf, Doubled.layerTest(() => Effect.succeed(2))))
      assert.isFalse(Exit.isFailure(exit) && exit.cause._tag === "Die")
    })
  )

  test(
    "a soft invalidation ends a back-off: the next call computes",
    Effect.gen(function*() {
      const { calls, memo } = yield* counting(
        { backOff: "1 hour", staleIfError: "1 day" },
        (call) => call === 2 ? Effect.fail("down") : Effect.succeed(call)
      )
      yield* memo("a")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* memo("a"), 1)
      yield* memo.softInvalidate("a")
      assert.strictEqual(yield* memo("a"), 3)
      assert.strictEqual(calls(), 3)
    })
  )

  describeOn(postgres, "Memoize", () => {
    testOn(postgres)(
      "what was invalidated in a transaction of some length is seen at once when it is over",
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const { memo } = yield* counting({ inMemory: { capacity: 10, maxAge: "1 second" }, timeToLive: "1 hour" })
        yield* memo("a")
        const [invalidated, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const transaction = yield* Effect.fork(storage.transaction(
          memo.invalidate("a").pipe(
            Effect.zipRight(Deferred.succeed(invalidated, undefined)),
            Effect.zipRight(Deferred.await(go))
          )
        ))
        yield* Deferred.await(invalidated)
        yield* TestClock.adjust("2 seconds")
        // Not yet committed: this is right.
        assert.strictEqual(yield* memo("a"), 1)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(transaction)
        assert.strictEqual(yield* memo("a"), 2)
      })
    )

    testOn(postgres)(
      "who comes after the commit does not wait for what began before it",
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const slow = origin<number>()
        const { memo } = yield* counting({}, (call) => call === 1 ? slow.effect : Effect.succeed(call))
        const [invalidated, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const transaction = yield* Effect.fork(storage.transaction(
          memo.invalidate("a").pipe(
            Effect.zipRight(Deferred.succeed(invalidated, undefined)),
            Effect.zipRight(Deferred.await(go))
          )
        ))
        yield* Deferred.await(invalidated)
        const before = yield* underWay(postgres, memo("a"))
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(transaction)
        const after = yield* underWay(postgres, memo("a"))
        yield* slow.end(Effect.succeed(1))
        assert.strictEqual(yield* Fiber.join(before), 1)
        assert.strictEqual(yield* Fiber.join(after), 2)
      })
    )

    it.scopedLive("what is computed beside a transaction that invalidates it is not stored", () =>
      Effect.gen(function*() {
        const { storage } = yield* openFresh()
        const { memo } = yield* Effect.provideService(counting(), Storage.Storage, storage)
        const [invalidated, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const body = memo.invalidate("a").pipe(
          Effect.zipRight(Deferred.succeed(invalidated, undefined)),
          Effect.zipRight(Deferred.await(go))
        )
        const transaction = yield* Effect.fork(Effect.exit<void, unknown, never>(
          storage.transaction(body)
        ))
        yield* Deferred.await(invalidated)
        // By what is there before the commit.
        assert.strictEqual(yield* memo("a"), 1)
        yield* Deferred.succeed(go, undefined)
        // One of both may be lost to the other.
        if (Exit.isSuccess(yield* Fiber.join(transaction))) assert.strictEqual(yield* memo("a"), 2)
      }))

    it.scopedLive("what a transaction stores is invalidated beside it", () =>
      Effect.gen(function*() {
        const { storage } = yield* openFresh()
        const { memo } = yield* Effect.provideService(counting(), Storage.Storage, storage)
        const [stored, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const body = memo("a").pipe(
          Effect.zipRight(Deferred.succeed(stored, undefined)),
          Effect.zipRight(Deferred.await(go))
        )
        const transaction = yield* Effect.fork(Effect.exit<void, unknown, never>(
          storage.transaction(body)
        ))
        yield* Deferred.await(stored)
        yield* Effect.exit(memo.invalidate("a"))
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(transaction)
        assert.strictEqual(yield* memo("a"), 2)
      }))
  })
})
