/** Stale answers: when they are answered, and when they are computed anew, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Effect, Exit, Fiber, Option, Schema, TestClock } from "effect"
import { Memoize } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { answered, counting, start, stored, testOn, underWay } from "../memoized.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }) {}

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("staleWhileRevalidate", () => {
      test(
        "answers now, and computes anew in the background, once",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const answers = yield* Effect.replicateEffect(memo("a"), 50, { concurrency: "unbounded" })
          deepStrictEqual(answers, Array.from({ length: 50 }, () => 1))
          yield* later.began
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 2)
          yield* later.end(Effect.succeed(2))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "each key has a refresh of its own",
        Effect.gen(function*() {
          const { called, memo } = yield* counting({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* Effect.all([memo("a"), memo("b")])
          yield* TestClock.adjust(1000)
          yield* Effect.all([memo("a"), memo("b"), memo("a"), memo("b")])
          yield* engine.turns
          deepStrictEqual(called.toSorted(), ["a", "a", "b", "b"])
        })
      )

      test(
        "what was answered anew is fresh from then on",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1499)
          assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          yield* TestClock.adjust(999)
          assert.strictEqual(yield* memo("a"), 2)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "is over exactly when its time is: the caller waits",
        Effect.gen(function*() {
          const { memo } = yield* counting({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.setTime(start + 1500)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "peek shows a stale answer, and starts nothing",
        Effect.gen(function*() {
          const { calls, memo } = yield* answered({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1200)
          const peeked = Option.getOrThrow(yield* memo.peek("a"))
          deepStrictEqual({ ...peeked }, {
            age: Duration.millis(1200),
            exit: Exit.succeed(1),
            state: "stale",
            timeToLive: Duration.zero
          })
          yield* engine.turns
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "a refresh that fails leaves the stale answer, and the next call tries again",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ backOff: 0, staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          for (const outcome of [Effect.fail("no"), Effect.die("boom"), Effect.interrupt]) {
            assert.strictEqual(yield* memo("a"), 1)
            yield* later.end(outcome)
            yield* engine.turns
          }
          assert.strictEqual(calls(), 4)
          yield* TestClock.adjust(500)
          const waiting = yield* underWay(engine, Effect.exit(memo("a")))
          yield* later.end(Effect.fail("no"))
          deepStrictEqual(yield* Fiber.join(waiting), Exit.fail("no"))
        })
      )

      test(
        "a refresh that fails begins the back-off, which does not hold when there is nothing stale any more",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* memo("a"), 1)
          yield* later.end(Effect.fail("down"))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(500)
          const waiting = yield* underWay(engine, memo("a"))
          assert.strictEqual(calls(), 3)
          yield* later.end(Effect.succeed(3))
          assert.strictEqual(yield* Fiber.join(waiting), 3)
        })
      )

      test(
        "the refresh ends with the scope of the function",
        Effect.gen(function*() {
          let interrupted = 0
          yield* Effect.scoped(Effect.gen(function*() {
            const { memo } = yield* counting(
              { staleWhileRevalidate: 500, timeToLive: 1000 },
              (call) =>
                call === 1
                  ? Effect.succeed(1)
                  : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
            )
            yield* memo("a")
            yield* TestClock.adjust(1000)
            assert.strictEqual(yield* memo("a"), 1)
            yield* engine.turns
            assert.strictEqual(interrupted, 0)
          }))
          assert.strictEqual(interrupted, 1)
        })
      )

      test(
        "the refresh goes on when the caller that began it is interrupted or done",
        Effect.gen(function*() {
          const { later, memo } = yield* answered({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const caller = yield* Effect.fork(Effect.zipRight(memo("a"), Effect.never))
          yield* later.began
          yield* Fiber.interrupt(caller)
          yield* later.end(Effect.succeed(2))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "stale failures, too",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            failure: NotFound,
            name: "failing",
            staleWhileRevalidate: 500,
            success: Schema.Void,
            timeToLive: 1000
          }, () => Effect.suspend(() => Effect.fail(new NotFound({ id: `${++calls}` }))))
          yield* Effect.flip(memo())
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* Effect.flip(memo()), new NotFound({ id: "1" }))
          yield* engine.turns
          deepStrictEqual(yield* Effect.flip(memo()), new NotFound({ id: "2" }))
        })
      )

      test(
        "after softInvalidate it is answered once more while the new one is computed",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleWhileRevalidate: 500 })
          yield* memo("a")
          yield* memo.softInvalidate("a")
          assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "an infinite time to live is never stale",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleWhileRevalidate: 500, timeToLive: Infinity })
          yield* memo("a")
          yield* TestClock.adjust("1000 days")
          yield* memo("a")
          yield* engine.turns
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "infinite: a stale answer is answered whenever",
        Effect.gen(function*() {
          const { memo } = yield* counting({ staleWhileRevalidate: Infinity, timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust("10000 days")
          assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "zero time to live is not stored either",
        Effect.gen(function*() {
          const { memo } = yield* counting({ staleIfError: 500, staleWhileRevalidate: 500, timeToLive: 0 })
          yield* memo("a")
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* stored(), 0)
        })
      )

      test(
        "bypass goes round stale answers, too",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 2)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "the function that refreshes is not bypassed when its caller is not",
        Effect.gen(function*() {
          const inner = yield* counting({ name: "inner" })
          const outer = yield* counting(
            { name: "outer", staleWhileRevalidate: 500, timeToLive: 1000 },
            (_, text) => inner.memo(text)
          )
          yield* outer.memo("a")
          yield* TestClock.adjust(1000)
          yield* outer.memo("a")
          yield* engine.turns
          assert.strictEqual(outer.calls(), 2)
          assert.strictEqual(inner.calls(), 1)
        })
      )
    })

    describe("staleIfError", () => {
      const failingFrom = (second: number, options: Parameters<typeof counting>[0] = {}) =>
        counting(
          { staleIfError: 500_000, timeToLive: 1000, ...options },
          (call) => call >= second ? Effect.fail("down") : Effect.succeed(call)
        )

      test(
        "answers a stale answer when the function fails, for its time",
        Effect.gen(function*() {
          const { memo } = yield* failingFrom(2)
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.setTime(start + 500_999)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.setTime(start + 501_000)
          assert.strictEqual(yield* Effect.flip(memo("a")), "down")
        })
      )

      test(
        "a failing function is not called at every call: it has a back-off of 10 seconds",
        Effect.gen(function*() {
          const { calls, memo } = yield* failingFrom(2)
          yield* memo("a")
          yield* TestClock.adjust(1000)
          for (let i = 0; i < 3; i++) assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(9999)
          yield* memo("a")
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(1)
          yield* memo("a")
          yield* memo("a")
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "the back-off can be set, and each key has its own",
        Effect.gen(function*() {
          const { called, memo } = yield* failingFrom(3, { backOff: "1 second" })
          yield* memo("a")
          yield* memo("b")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          yield* memo("a")
          deepStrictEqual(called, ["a", "b", "a"])
          assert.strictEqual(yield* memo("b"), 2)
          yield* memo("b")
          deepStrictEqual(called, ["a", "b", "a", "b"])
          yield* TestClock.adjust(1000)
          yield* memo("a")
          deepStrictEqual(called, ["a", "b", "a", "b", "a"])
        })
      )

      test(
        "a back-off of zero calls each time",
        Effect.gen(function*() {
          const { calls, memo } = yield* failingFrom(2, { backOff: 0 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          yield* memo("a")
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "the back-off does not hold where there is nothing stale",
        Effect.gen(function*() {
          const { calls, memo } = yield* failingFrom(1)
          yield* Effect.flip(memo("a"))
          yield* Effect.flip(memo("a"))
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "refresh calls the function within the back-off, and ends it",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting(
            { staleIfError: "1 hour", timeToLive: 1000 },
            (call) => call === 2 ? Effect.fail("down") : Effect.succeed(call)
          )
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          assert.strictEqual(yield* memo.refresh("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "invalidate ends it: there is no answer left to stand in",
        Effect.gen(function*() {
          const { memo } = yield* failingFrom(2)
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          assert.isTrue(yield* memo.invalidate("a"))
          assert.strictEqual(yield* Effect.flip(memo("a")), "down")
        })
      )

      test(
        "does not stand in for defects",
        Effect.gen(function*() {
          const { memo } = yield* counting(
            { staleIfError: "1 hour", timeToLive: 1000 },
            (call) => call === 1 ? Effect.succeed(1) : Effect.die("boom")
          )
          yield* memo("a")
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* Effect.exit(memo("a")), Exit.die("boom"))
        })
      )

      test(
        "failures that are stored count as answers",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            failure: NotFound,
            name: "failing",
            staleIfError: "1 hour",
            success: Schema.Number,
            timeToLive: 1000
          }, () =>
            Effect.suspend((): Effect.Effect<number, NotFound | "down"> => {
              switch (++calls) {
                case 1:
                  return Effect.succeed(1)
                case 2:
                  return Effect.fail(new NotFound({ id: "2" }))
                default:
                  return Effect.fail("down")
              }
            }))
          yield* memo()
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* Effect.flip(memo()), new NotFound({ id: "2" }))
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* Effect.flip(memo()), new NotFound({ id: "2" }))
          assert.strictEqual(calls, 3)
        })
      )

      test(
        "all who wait for the same get the stale answer",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ staleIfError: "1 hour", timeToLive: 1000 })
          yield* TestClock.adjust(1000)
          const callers = yield* underWay(engine, Effect.replicateEffect(memo("a"), 20, { concurrency: "unbounded" }))
          yield* later.end(Effect.fail("down"))
          deepStrictEqual(yield* Fiber.join(callers), Array.from({ length: 20 }, () => 1))
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "refresh fails with the failure",
        Effect.gen(function*() {
          const { memo } = yield* failingFrom(2)
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* Effect.flip(memo.refresh("a")), "down")
        })
      )
    })

    describe("all together", () => {
      const options = {
        backOff: 1000,
        softTimeout: 50,
        staleIfError: 100_000,
        staleWhileRevalidate: 500,
        timeToLive: 1000
      }

      test(
        "revalidates first, waits for the soft timeout then, and fails in the end",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered(options)
          // In the background.
          yield* TestClock.adjust(1400)
          assert.strictEqual(yield* memo("a"), 1)
          yield* later.end(Effect.fail("down"))
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          // Waits, and is answered stale; the back-off of the refresh is over.
          yield* TestClock.adjust(1100)
          const waiting = yield* underWay(engine, memo("a"))
          yield* later.began
          yield* TestClock.adjust(50)
          assert.strictEqual(yield* Fiber.join(waiting), 1)
          yield* later.end(Effect.succeed(3))
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 3)
          // Nothing stale is left.
          yield* TestClock.adjust(101_000)
          const failing = yield* underWay(engine, Effect.flip(memo("a")))
          yield* later.end(Effect.fail("down"))
          assert.strictEqual(yield* Fiber.join(failing), "down")
          assert.strictEqual(calls(), 4)
        })
      )

      test(
        "a refresh in the background that failed begins the back-off",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered(options)
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* memo("a"), 1)
          yield* later.end(Effect.fail("down"))
          yield* engine.turns
          for (let i = 0; i < 3; i++) assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(1000)
          const waiting = yield* underWay(engine, memo("a"))
          yield* later.end(Effect.succeed(3))
          assert.strictEqual(yield* Fiber.join(waiting), 3)
        })
      )

      test(
        "a caller that must wait joins the refresh that is under way",
        Effect.gen(function*() {
          const { calls, later, memo } = yield* answered({ staleWhileRevalidate: 500, timeToLive: 1000 })
          yield* TestClock.adjust(1400)
          assert.strictEqual(yield* memo("a"), 1)
          yield* later.began
          yield* TestClock.adjust(100)
          const waiting = yield* underWay(engine, memo("a"))
          yield* later.end(Effect.succeed(2))
          assert.strictEqual(yield* Fiber.join(waiting), 2)
          assert.strictEqual(calls(), 2)
        })
      )
    })
  })
