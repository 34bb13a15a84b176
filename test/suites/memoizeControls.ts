/** What of a memoised function is found, and what can be done to it, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Effect, Exit, Option, Ref, Schema, TestClock } from "effect"
import { Codec, Memoize } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, keyspaceOf, stored, testOn } from "../memoized.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("versions and schemas", () => {
      test(
        "another version is a miss, and the versions stand beside each other",
        Effect.gen(function*() {
          const versions = [undefined, 2, "2", "next", 1] as const
          const memos = yield* Effect.forEach(versions, (version) => counting({ version }))
          for (const { memo } of memos) yield* memo("a")
          // 1 is the default.
          deepStrictEqual(memos.map(({ calls }) => calls()), [1, 1, 1, 1, 0])
          for (const { memo } of memos) yield* memo("a")
          deepStrictEqual(memos.map(({ calls }) => calls()), [1, 1, 1, 1, 0])
          assert.strictEqual(yield* stored(), 4)
        })
      )

      test(
        "a change of the schema is a miss, not a crash",
        Effect.gen(function*() {
          const make = <A, I>(success: Schema.Schema<A, I>, value: A) =>
            Effect.flatMap(
              Memoize.make(
                { args: Schema.Tuple(), name: "changing", success, timeToLive: "1 hour" },
                () => Effect.succeed(value)
              ),
              (memo) => Effect.zipRight(memo(), memo())
            )
          assert.strictEqual(yield* make(Schema.Number, 1), 1)
          assert.strictEqual(yield* make(Schema.String, "text"), "text")
          deepStrictEqual(yield* make(Schema.Struct({ a: Schema.Date }), { a: new Date(0) }), { a: new Date(0) })
          assert.strictEqual(yield* make(Schema.Undefined, undefined), undefined)
          assert.strictEqual(yield* make(Schema.Number, 2), 2)
        })
      )

      test(
        "another codec is a miss, not a crash",
        Effect.gen(function*() {
          yield* Effect.flatMap(counting(), ({ memo }) => memo("a"))
          const { calls, memo } = yield* counting({ codec: Codec.msgpack })
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "what somebody else wrote there is a miss, not a crash",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting()
          const keyspace = yield* keyspaceOf("counting")
          const values = ["", "{", "null", "[]", "{\"_tag\":\"Success\"}", new Uint8Array(), new Uint8Array([0xc1, 0])]
          for (const [i, value] of values.entries()) {
            yield* keyspace.set(yield* memo.keyOf("a"), value)
            assert.strictEqual(yield* memo("a"), i + 1)
            assert.strictEqual(yield* memo("a"), i + 1)
          }
          assert.strictEqual(calls(), values.length)
        })
      )

      test(
        "onDecodeFailure \"fail\" fails with the error, for calls and for peek, until it is invalidated",
        Effect.gen(function*() {
          yield* Effect.flatMap(counting(), ({ memo }) => memo("a"))
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            name: "counting",
            onDecodeFailure: "fail",
            success: Schema.String,
            timeToLive: "1 minute"
          }, () => Effect.sync(() => `${++calls}`))
          const error = yield* Effect.flip(memo("a"))
          assert.instanceOf(error, Codec.CodecError)
          assert.instanceOf(yield* Effect.flip(memo.peek("a")), Codec.CodecError)
          assert.strictEqual(calls, 0)
          assert.strictEqual(yield* memo("b"), "1")
          assert.isTrue(yield* memo.invalidate("a"))
          assert.strictEqual(yield* memo("a"), "2")
        })
      )

      test(
        "onDecodeFailure \"fail\" is mended by refresh",
        Effect.gen(function*() {
          yield* Effect.flatMap(counting(), ({ memo }) => memo("a"))
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            name: "counting",
            onDecodeFailure: "fail",
            success: Schema.String,
            timeToLive: "1 minute"
          }, Effect.succeed)
          assert.strictEqual(yield* memo.refresh("a"), "a")
          assert.strictEqual(yield* memo("a"), "a")
        })
      )
    })

    describe("key", () => {
      test(
        "a custom key tells calls apart, instead of the arguments",
        Effect.gen(function*() {
          const { called, memo } = yield* counting({ key: (text) => text.toLowerCase() })
          yield* memo("A")
          yield* memo("a")
          yield* memo("b")
          deepStrictEqual(called, ["A", "b"])
          assert.strictEqual(yield* memo.keyOf("A"), yield* memo.keyOf("a"))
          assert.isTrue(yield* memo.invalidate("a"))
        })
      )

      test(
        "a custom key that throws does not break the call",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({
            key: () => {
              throw new Error("boom")
            }
          })
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(calls(), 2)
          assert.instanceOf(yield* Effect.flip(memo.keyOf("a")), Codec.CodecError)
        })
      )

      test(
        "with a custom key arguments need not be encodable",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.declare((u): u is () => string => typeof u === "function")),
            key: (f) => f(),
            name: "functions",
            success: Schema.Number,
            timeToLive: 1000
          }, () => Effect.sync(() => ++calls))
          assert.strictEqual(yield* memo(() => "a"), 1)
          assert.strictEqual(yield* memo(() => "a"), 1)
          assert.strictEqual(yield* memo(() => "b"), 2)
        })
      )
    })

    describe("enabled", () => {
      test(
        "is asked at each call; while it is false, calls go through and nothing is stored",
        Effect.gen(function*() {
          const enabled = yield* Ref.make(false)
          const { memo } = yield* counting({ enabled })
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* stored(), 0)
          yield* Ref.set(enabled, true)
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
          yield* Ref.set(enabled, false)
          assert.strictEqual(yield* memo("a"), 4)
          yield* Ref.set(enabled, true)
          assert.strictEqual(yield* memo("a"), 3)
        })
      )

      test(
        "that fails lets calls through, and one that dies too",
        Effect.gen(function*() {
          const made = yield* counting({ enabled: Effect.fail("no") })
          assert.strictEqual(yield* made.memo("a"), 1)
          assert.strictEqual(yield* made.memo("a"), 2)
          const dying = yield* counting({ enabled: Effect.die("boom") })
          assert.strictEqual(yield* dying.memo("a"), 1)
          assert.strictEqual(yield* stored(), 0)
        })
      )

      test(
        "false, refresh stores nothing either",
        Effect.gen(function*() {
          const { memo } = yield* counting({ enabled: Effect.succeed(false) })
          assert.strictEqual(yield* memo.refresh("a"), 1)
          assert.strictEqual(yield* stored(), 0)
        })
      )
    })

    describe("bypass", () => {
      test(
        "calls the function and stores nothing",
        Effect.gen(function*() {
          const { memo } = yield* counting()
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 1)
          assert.strictEqual(yield* stored(), 0)
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 3)
          assert.strictEqual(yield* Memoize.bypass(memo.refresh("a")), 4)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "holds for all that the effect calls, in fibers and in memoised functions, and when it is nested",
        Effect.gen(function*() {
          const inner = yield* counting({ name: "inner" })
          const outer = yield* counting({ name: "outer" }, (_, text) => inner.memo(text))
          const both = Effect.all([outer.memo("a"), Memoize.bypass(outer.memo("a"))], { concurrency: 2 })
          yield* Memoize.bypass(Effect.zipRight(both, Effect.flatten(Effect.fork(outer.memo("a")))))
          assert.strictEqual(outer.calls(), 3)
          assert.strictEqual(inner.calls(), 3)
          assert.strictEqual(yield* stored("inner"), 0)
          yield* outer.memo("a")
          yield* outer.memo("a")
          assert.strictEqual(outer.calls(), 4)
        })
      )

      test(
        "does not stick to a function that was made within",
        Effect.gen(function*() {
          const { memo } = yield* Memoize.bypass(counting())
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 2)
        })
      )

      test(
        "leaves the errors and the interruption of the effect as they are",
        Effect.gen(function*() {
          const { memo } = yield* counting({}, () => Effect.fail("no"))
          assert.strictEqual(yield* Effect.flip(Memoize.bypass(memo("a"))), "no")
          deepStrictEqual(yield* Effect.exit(Memoize.bypass(Effect.die("boom"))), Exit.die("boom"))
        })
      )
    })

    describe("peek", () => {
      test(
        "shows the answer with its age and remaining life, and changes nothing",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({ staleIfError: "1 minute", timeToLive: 1000 })
          deepStrictEqual(yield* memo.peek("a"), Option.none())
          yield* memo("a")
          const show = Effect.map(
            memo.peek("a"),
            Option.map(({ age, exit, state, timeToLive }) => [
              exit,
              state,
              Duration.toMillis(age),
              Duration.toMillis(timeToLive)
            ])
          )
          deepStrictEqual(yield* show, Option.some([Exit.succeed(1), "fresh", 0, 1000]))
          yield* TestClock.adjust(400)
          deepStrictEqual(yield* show, Option.some([Exit.succeed(1), "fresh", 400, 600]))
          yield* TestClock.adjust(600)
          deepStrictEqual(yield* show, Option.some([Exit.succeed(1), "stale", 1000, 0]))
          yield* TestClock.adjust(60_000)
          deepStrictEqual(yield* show, Option.none())
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "sees nothing that is not fresh where nothing is served stale",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* memo.peek("a"), Option.none())
        })
      )
    })

    describe("invalidate", () => {
      test(
        "forgets one answer, and tells whether there was one",
        Effect.gen(function*() {
          const { memo } = yield* counting()
          assert.isFalse(yield* memo.invalidate("a"))
          yield* memo("a")
          yield* memo("b")
          assert.isTrue(yield* memo.invalidate("a"))
          assert.isFalse(yield* memo.invalidate("a"))
          deepStrictEqual(yield* memo.peek("a"), Option.none())
          assert.strictEqual(yield* memo("b"), 2)
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
        })
      )

      test(
        "of what is expired tells that there was nothing",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.isFalse(yield* memo.invalidate("a"))
          assert.isFalse(yield* memo.softInvalidate("a"))
        })
      )

      test(
        "all: forgets all answers, of all versions, and tells how many there were",
        Effect.gen(function*() {
          const [one, two] = [yield* counting(), yield* counting({ version: 2 })]
          const other = yield* counting({ name: "counting 2" })
          assert.strictEqual(yield* one.memo.invalidateAll, 0)
          for (const text of ["a", "b", "c"]) yield* one.memo(text)
          yield* two.memo("a")
          yield* other.memo("a")
          assert.strictEqual(yield* one.memo.invalidateAll, 4)
          assert.strictEqual(yield* one.memo.invalidateAll, 0)
          assert.strictEqual(yield* two.memo("a"), 2)
          assert.strictEqual(yield* one.memo("a"), 4)
          assert.strictEqual(yield* one.memo("a"), 4)
          assert.strictEqual(yield* other.memo("a"), 1)
        })
      )

      test(
        "all: what was invalidated or is expired is no answer any more",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          yield* memo("expired")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          yield* memo("b")
          yield* memo("c")
          yield* memo.invalidate("a")
          yield* memo.invalidate("never there")
          yield* memo.softInvalidate("nor this")
          yield* memo.softInvalidate("b")
          assert.strictEqual(yield* memo.invalidateAll, 2)
        })
      )

      test(
        "soft: the next call computes",
        Effect.gen(function*() {
          const { memo } = yield* counting()
          assert.isFalse(yield* memo.softInvalidate("a"))
          yield* memo("a")
          assert.isTrue(yield* memo.softInvalidate("a"))
          const peeked = Option.getOrThrow(yield* memo.peek("a"))
          assert.strictEqual(peeked.state, "stale")
          deepStrictEqual(peeked.exit, Exit.succeed(1))
          deepStrictEqual(peeked.timeToLive, Duration.zero)
          assert.strictEqual(yield* memo("a"), 2)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "soft: the old answer is a fallback if the function fails, for as long as it would have been kept",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting(
            { timeToLive: 100_000 },
            (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
          )
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* memo.softInvalidate("a")
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 2)
          yield* TestClock.adjust(98_999)
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 3)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* Effect.flip(memo("a")), "down")
        })
      )

      test(
        "soft twice, and then hard",
        Effect.gen(function*() {
          const { memo } = yield* counting({}, (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down"))
          yield* memo("a")
          assert.isTrue(yield* memo.softInvalidate("a"))
          assert.isTrue(yield* memo.softInvalidate("a"))
          assert.strictEqual(yield* memo("a"), 1)
          assert.isTrue(yield* memo.invalidate("a"))
          assert.strictEqual(yield* Effect.flip(memo("a")), "down")
        })
      )

      test(
        "soft: a defect of the function is not covered by the old answer",
        Effect.gen(function*() {
          const { memo } = yield* counting({}, (call) => call === 1 ? Effect.succeed(1) : Effect.die("boom"))
          yield* memo("a")
          yield* memo.softInvalidate("a")
          deepStrictEqual(yield* Effect.exit(memo("a")), Exit.die("boom"))
        })
      )
    })

    describe("refresh", () => {
      test(
        "calls the function, whatever is stored, and stores its answer",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          assert.strictEqual(yield* memo.refresh("a"), 1)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.adjust(600)
          assert.strictEqual(yield* memo.refresh("a"), 2)
          yield* TestClock.adjust(600)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "that fails leaves what is stored",
        Effect.gen(function*() {
          const { memo } = yield* counting({}, (call) => call === 2 ? Effect.fail("no") : Effect.succeed(call))
          yield* memo("a")
          assert.strictEqual(yield* Effect.flip(memo.refresh("a")), "no")
          assert.strictEqual(yield* memo("a"), 1)
        })
      )
    })
  })
