/** Functions that are slow: how long they are waited for, and what is computed before it has to be, on any engine. */
import { assert, describe } from "@effect/vitest"
import { Cause, type Duration, Effect, Fiber, Option, Random, Schema, TestClock } from "effect"
import { Memoize } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { answered, counting, stored, testOn, underWay } from "../memoized.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("softTimeout", () => {
      test(
        "answers stale if the function is slow, which goes on and is stored",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ softTimeout: 50, staleIfError: "1 hour", timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const caller = yield* underWay(engine, memo("a"))
          yield* later.began
          yield* TestClock.adjust(49)
          yield* engine.turns
          assert.isTrue(Option.isNone(yield* Fiber.poll(caller)))
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* Fiber.join(caller), 1)
          yield* later.end(Effect.succeed(2))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "those who come while it goes on wait for it as long, and do not call again",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ softTimeout: 50, staleIfError: "1 hour", timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const first = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(50)
          assert.strictEqual(yield* Fiber.join(first), 1)
          const second = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(50)
          assert.strictEqual(yield* Fiber.join(second), 1)
          const third = yield* underWay(engine, memo("a"))
          yield* later.end(Effect.succeed(2))
          assert.strictEqual(yield* Fiber.join(third), 2)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "a function that is quick enough is waited for",
        Effect.gen(function*() {
          const { later, memo } = yield* answered({ softTimeout: 50, staleIfError: "1 hour", timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const caller = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(49)
          yield* later.end(Effect.succeed(2))
          assert.strictEqual(yield* Fiber.join(caller), 2)
        })
      )

      test(
        "waits where there is nothing stale",
        Effect.gen(function*() {
          const { memo } = yield* counting(
            { softTimeout: 50, staleIfError: "1 hour", timeToLive: 1000 },
            (call) => Effect.delay(Effect.succeed(call), 5000)
          )
          const caller = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(4999)
          yield* engine.turns
          assert.isTrue(Option.isNone(yield* Fiber.poll(caller)))
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* Fiber.join(caller), 1)
        })
      )

      test(
        "answers what was invalidated softly",
        Effect.gen(function*() {
          const { later, memo } = yield* answered({ softTimeout: 50 })
          yield* memo.softInvalidate("a")
          const caller = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(50)
          assert.strictEqual(yield* Fiber.join(caller), 1)
          yield* later.end(Effect.succeed(2))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "what goes on and fails is nobody's failure",
        Effect.gen(function*() {
          const { later, memo } = yield* answered({ softTimeout: 50, staleIfError: "1 hour", timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const caller = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(50)
          yield* Fiber.join(caller)
          yield* later.end(Effect.fail("down"))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 1)
        })
      )
    })

    describe("hardTimeout", () => {
      const slow = <H extends Duration.DurationInput | undefined>(hardTimeout: H) => {
        let interrupted = 0
        let calls = 0
        return Effect.map(
          Memoize.make({
            args: Schema.Tuple(Schema.String),
            hardTimeout,
            name: "slow",
            success: Schema.Number,
            timeToLive: 1000
          }, () =>
            Effect.suspend(() => Effect.delay(Effect.succeed(++calls), calls === 1 ? 5000 : 10)).pipe(
              Effect.onInterrupt(() => Effect.sync(() => interrupted++))
            )),
          (memo) => ({ calls: () => calls, interrupted: () => interrupted, memo })
        )
      }

      test(
        "interrupts the function, and all who wait fail with TimeoutException",
        Effect.gen(function*() {
          const { calls, interrupted, memo } = yield* slow("1 second")
          const callers = yield* Effect.fork(
            Effect.replicateEffect(Effect.flip(memo("a")), 5, { concurrency: "unbounded" })
          )
          yield* engine.turns
          yield* TestClock.adjust(999)
          yield* engine.turns
          assert.strictEqual(interrupted(), 0)
          yield* TestClock.adjust(1)
          for (const error of yield* Fiber.join(callers)) assert.isTrue(Cause.isTimeoutException(error))
          assert.strictEqual(interrupted(), 1)
          assert.strictEqual(calls(), 1)
          assert.strictEqual(yield* stored("slow"), 0)
          const next = yield* underWay(engine, memo("a"))
          yield* TestClock.adjust(10)
          assert.strictEqual(yield* Fiber.join(next), 2)
        })
      )

      test(
        "a stale answer stands in for it",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            hardTimeout: "1 second",
            name: "slow",
            staleIfError: "1 hour",
            success: Schema.Number,
            timeToLive: 1000
          }, () => Effect.suspend(() => ++calls === 1 ? Effect.succeed(1) : Effect.never))
          yield* memo()
          yield* TestClock.adjust(1000)
          const caller = yield* underWay(engine, memo())
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* Fiber.join(caller), 1)
          // The back-off holds.
          assert.strictEqual(yield* memo(), 1)
          assert.strictEqual(calls, 2)
        })
      )

      test(
        "holds for refresh and bypass, too",
        Effect.gen(function*() {
          for (const how of ["refresh", "bypass"] as const) {
            const { interrupted, memo } = yield* slow("1 second")
            const call = how === "refresh" ? memo.refresh("a") : Memoize.bypass(memo("a"))
            const caller = yield* underWay(engine, Effect.flip(call))
            yield* TestClock.adjust(1000)
            assert.isTrue(Cause.isTimeoutException(yield* Fiber.join(caller)), how)
            assert.strictEqual(interrupted(), 1, how)
          }
        })
      )
    })

    describe("earlyRefresh", () => {
      /** A function that takes a second, whose answer is fresh for ten. */
      const slow = (earlyRefresh: boolean | { readonly beta?: number }) =>
        Effect.gen(function*() {
          const made = yield* counting(
            { earlyRefresh, timeToLive: 10_000 },
            (call) => Effect.delay(Effect.succeed(call), 1000)
          )
          const first = yield* underWay(engine, made.memo("a"))
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* Fiber.join(first), 1)
          return made
        })

      test(
        "computes in the background before the answer expires: the later the more likely",
        Effect.gen(function*() {
          const { calls, memo } = yield* slow(true)
          // -ln(0.01) is 4.6: as many seconds before the end.
          const unlikely = Effect.withRandomFixed(memo("a"), [0.01])
          yield* TestClock.adjust(5000)
          assert.strictEqual(yield* unlikely, 1)
          yield* engine.turns
          assert.strictEqual(calls(), 1)
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* unlikely, 1)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(1000)
          yield* engine.turns
          assert.strictEqual(yield* Effect.withRandomFixed(memo("a"), [0.99]), 2)
        })
      )

      test(
        "beta above 1 favours earlier",
        Effect.gen(function*() {
          const { calls, memo } = yield* slow({ beta: 2 })
          yield* TestClock.adjust(500)
          yield* Effect.withRandomFixed(memo("a"), [0.01])
          yield* engine.turns
          assert.strictEqual(calls(), 1)
          yield* TestClock.adjust(1500)
          yield* Effect.withRandomFixed(memo("a"), [0.01])
          yield* engine.turns
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "is not done unless asked",
        Effect.gen(function*() {
          const { calls, memo } = yield* slow(false)
          yield* TestClock.adjust(9999)
          yield* Effect.withRandomFixed(memo("a"), [1e-9])
          yield* engine.turns
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "is done once, however many ask",
        Effect.gen(function*() {
          const { calls, memo } = yield* slow(true)
          yield* TestClock.adjust(9999)
          yield* Effect.replicateEffect(Effect.withRandomFixed(memo("a"), [0.01]), 20, { concurrency: "unbounded" })
          yield* engine.turns
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "an answer that does not expire is not computed anew",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting(
            { earlyRefresh: { beta: 1000 }, timeToLive: Infinity },
            (call) => Effect.as(TestClock.adjust(1000), call)
          )
          yield* memo("a")
          yield* TestClock.adjust("1000 days")
          yield* Effect.withRandomFixed(memo("a"), [1e-9])
          yield* engine.turns
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "with a generator of its own it is the same each time",
        Effect.gen(function*() {
          const when = Effect.gen(function*() {
            const { calls, memo } = yield* slow({ beta: 3 })
            let at = 0
            while (calls() === 1 && at < 9000) {
              at += 1500
              yield* TestClock.adjust(1500)
              yield* memo("a")
              yield* engine.turns
            }
            yield* TestClock.adjust(1000)
            yield* engine.turns
            yield* memo.invalidateAll
            return at
          })
          const [one, two] = [
            yield* Effect.withRandom(when, Random.make("seed")),
            yield* Effect.withRandom(when, Random.make("seed"))
          ]
          assert.strictEqual(one, two)
          assert.isBelow(one, 9000)
        })
      )
    })
  })
