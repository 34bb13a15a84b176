/** Tags of stored answers, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Fiber, Option, Schema, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, origin, testOn, underWay } from "../memoized.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("tags", () => {
      test(
        "many a value: one of them invalidates it, and leaves what has not got it",
        Effect.gen(function*() {
          const { memo } = yield* counting({ tags: ([text], value) => [...text, `call ${value}`] })
          yield* memo("ab")
          yield* memo("bc")
          yield* memo("d")
          yield* Memoize.invalidateTag("b")
          deepStrictEqual(yield* memo.peek("ab"), Option.none())
          assert.strictEqual(yield* memo("d"), 3)
          assert.strictEqual(yield* memo("ab"), 4)
          assert.strictEqual(yield* memo("bc"), 5)
          yield* Memoize.invalidateTag("call 4")
          assert.strictEqual(yield* memo("ab"), 6)
          assert.strictEqual(yield* memo("bc"), 5)
          yield* Memoize.invalidateTag("nobody has it")
          assert.strictEqual(yield* memo("bc"), 5)
        })
      )

      test(
        "are given the arguments and the answer",
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.Date, Schema.String),
            name: "tagged",
            success: Schema.Option(Schema.Number),
            tags: (args, value) => (seen.push([args, value]), []),
            timeToLive: 1000
          }, () => Effect.succeedSome(1))
          yield* memo(new Date(1), "a")
          deepStrictEqual(seen, [[[new Date(1), "a"], Option.some(1)]])
        })
      )

      test(
        "any text is a tag, and no tag is another",
        Effect.gen(function*() {
          const tags = ["", "a", "A", "a/b", "a\0", "é", "e\u0301", "\u{1F600}", "x".repeat(5000), "x".repeat(5001)]
          const { memo } = yield* counting({ tags: ([i]) => [tags[Number(i)]!, tags[Number(i)]!] })
          for (const i of tags.keys()) yield* memo(`${i}`)
          for (const i of tags.keys()) {
            yield* Memoize.invalidateTag(tags[i]!)
            for (const j of tags.keys()) {
              assert.strictEqual(Option.isSome(yield* memo.peek(`${j}`)), j > i, `${i}, ${j}`)
            }
          }
        })
      )

      test(
        "an answer of after the invalidation is valid, also in the same millisecond",
        Effect.gen(function*() {
          // The clock stands still.
          const { calls, memo } = yield* counting({ tags: () => ["tag"] })
          for (let i = 1; i <= 20; i++) {
            assert.strictEqual(yield* memo("a"), i)
            assert.strictEqual(yield* memo("a"), i)
            yield* Memoize.invalidateTag("tag")
          }
          assert.strictEqual(calls(), 20)
        })
      )

      test(
        "an answer of before is invalid, also when the clock went back",
        Effect.gen(function*() {
          const { memo } = yield* counting({ tags: () => ["tag"] })
          yield* memo("a")
          yield* TestClock.setTime(500)
          yield* Memoize.invalidateTag("tag")
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "what was being computed when it was written is invalid, too",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { memo } = yield* counting({ tags: () => ["tag"] }, (call) =>
            call === 1 ? slow.effect : Effect.succeed(call))
          const first = yield* underWay(engine, memo("a"))
          yield* Memoize.invalidateTag("tag")
          yield* slow.end(Effect.succeed(1))
          assert.strictEqual(yield* Fiber.join(first), 1)
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "one invalidation holds for all functions on the Storage",
        Effect.gen(function*() {
          const [one, two] = [
            yield* counting({ name: "one", tags: () => ["x", "common"] }),
            yield* counting({ name: "two", tags: () => ["common", "y"] })
          ]
          const none = yield* counting({ name: "none" })
          const all = Effect.all([one.memo("a"), two.memo("a"), none.memo("a")])
          deepStrictEqual(yield* all, [1, 1, 1])
          yield* Memoize.invalidateTag("common")
          deepStrictEqual(yield* all, [2, 2, 1])
          yield* Memoize.invalidateTags(["x", "y"])
          deepStrictEqual(yield* all, [3, 3, 1])
          yield* Memoize.invalidateTags([])
          deepStrictEqual(yield* all, [3, 3, 1])
        })
      )

      test(
        "it is one short write, however many answers there are",
        Effect.gen(function*() {
          const { memo } = yield* counting({ tags: () => ["tag"] })
          const storage = yield* Storage.Storage
          for (let i = 0; i < 50; i++) {
            yield* memo(`${i}`)
          }
          const entries = Effect.map(
            storage.maintenance.stats,
            (stats) =>
              stats.reduce((sum, { entries }) => sum + entries, 0)
          )
          const before = yield* entries
          yield* Memoize.invalidateTag("tag")
          yield* Memoize.invalidateTag("tag")
          assert.isAtMost((yield* entries) - before, 2)
        })
      )

      test(
        "soft: stale from then on, and a fallback",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting(
            { tags: () => ["tag"] },
            (call) => call === 2 ? Effect.fail("down") : Effect.succeed(call)
          )
          yield* memo("a")
          yield* Memoize.invalidateTag("tag", { soft: true })
          const peeked = Option.getOrThrow(yield* memo.peek("a"))
          deepStrictEqual([peeked.state, peeked.exit], ["stale", Exit.succeed(1)])
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
        })
      )

      test(
        "soft: with staleWhileRevalidate it is answered while the new one is computed",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleWhileRevalidate: "1 minute", tags: () => ["tag"] })
          yield* memo("a")
          yield* Memoize.invalidateTag("tag", { soft: true })
          assert.strictEqual(yield* memo("a"), 1)
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "hard after soft is hard, and soft after hard as well",
        Effect.gen(function*() {
          for (const order of [[true, false], [false, true]] as const) {
            const { memo } = yield* counting({ name: `${order[0]}`, tags: () => ["tag"] })
            yield* memo("a")
            for (const soft of order) yield* Memoize.invalidateTag("tag", { soft })
            deepStrictEqual(yield* memo.peek("a"), Option.none())
            assert.strictEqual(yield* memo("a"), 2)
          }
        })
      )

      test(
        "hard also takes what only stale answers are kept for",
        Effect.gen(function*() {
          const { memo } = yield* counting(
            { staleIfError: "1 hour", tags: () => ["tag"], timeToLive: 1000 },
            (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
          )
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* Memoize.invalidateTag("tag")
          assert.strictEqual(yield* Effect.flip(memo("a")), "down")
        })
      )

      test(
        "an invalidation is not forgotten while there may be answers of before",
        Effect.gen(function*() {
          const { memo } = yield* counting({ tags: () => ["tag"], timeToLive: Infinity })
          const storage = yield* Storage.Storage
          yield* memo("a")
          yield* Memoize.invalidateTag("tag")
          yield* TestClock.adjust("3650 days")
          yield* storage.maintenance.compact
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "stored failures have none",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            failure: Schema.String,
            name: "failing",
            success: Schema.Void,
            tags: () => ["tag"],
            timeToLive: "1 hour"
          }, () => Effect.suspend(() => Effect.fail(`${++calls}`)))
          yield* Effect.flip(memo())
          yield* Memoize.invalidateTag("tag")
          assert.strictEqual(yield* Effect.flip(memo()), "1")
        })
      )

      test(
        "tags that throw do not break the call",
        Effect.gen(function*() {
          const { memo } = yield* counting({
            tags: () => {
              throw new Error("boom")
            }
          })
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )
    })
  })
