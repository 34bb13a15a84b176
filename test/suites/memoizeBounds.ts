/** How much of a function is kept, in the storage and in memory, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Option, Schema, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, keyspaceOf, stored, testOn } from "../memoized.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    const letters = "abcdefghijklmnopqrst".split("")
    const kept = ({ peek }: Memoize.Memo<readonly [string], unknown>) =>
      Effect.filter(letters, (letter) => Effect.map(peek(letter), Option.isSome))

    describe("bounds", () => {
      test(
        "nothing is evicted unless asked",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: Infinity })
          yield* Effect.forEach(letters, (letter) => memo(letter))
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(yield* stored(), letters.length)
        })
      )

      test(
        "maxEntries: those that were stored first go",
        Effect.gen(function*() {
          const { memo } = yield* counting({ maxEntries: 5, timeToLive: Infinity })
          for (const letter of letters) {
            yield* memo(letter)
            yield* TestClock.adjust(1)
          }
          deepStrictEqual(yield* kept(memo), letters.slice(-5))
        })
      )

      test(
        "maxEntries: at the same time, and in the same millisecond",
        Effect.gen(function*() {
          const { memo } = yield* counting({ maxEntries: 5, timeToLive: Infinity })
          yield* Effect.forEach(letters, (letter) => memo(letter), { concurrency: "unbounded" })
          // Whoever waited for its turn meanwhile has made room, or the next one does.
          yield* TestClock.adjust("1 minute")
          yield* memo("x")
          yield* engine.turns
          assert.isAtMost(yield* stored(), 5)
          assert.isAtLeast(yield* stored(), 1)
          assert.isTrue(Option.isSome(yield* memo.peek("x")))
        })
      )

      test(
        "maxEntries: answers of another process count, within a second",
        Effect.gen(function*() {
          const [one, other] = [
            yield* counting({ maxEntries: 5, timeToLive: Infinity }),
            yield* counting({ timeToLive: Infinity })
          ]
          yield* one.memo("first")
          for (const letter of letters) yield* other.memo(letter)
          yield* TestClock.adjust("1 minute")
          yield* one.memo("last")
          yield* engine.turns
          assert.isAtMost(yield* stored(), 5)
          assert.isTrue(Option.isSome(yield* one.memo.peek("last")))
        })
      )

      test(
        "maxEntries: storing again does not count twice, and makes it the last",
        Effect.gen(function*() {
          const { memo } = yield* counting({ maxEntries: 3, timeToLive: Infinity })
          for (const letter of ["a", "b", "c"]) {
            yield* memo(letter)
            yield* TestClock.adjust(1)
          }
          yield* memo.refresh("a")
          deepStrictEqual(yield* kept(memo), ["a", "b", "c"])
          yield* TestClock.adjust(1)
          yield* memo("d")
          deepStrictEqual(yield* kept(memo), ["a", "c", "d"])
        })
      )

      test(
        "maxEntries: what is expired makes room by itself",
        Effect.gen(function*() {
          const { memo } = yield* counting({
            maxEntries: 3,
            timeToLive: (_, [text]) => text === "a" ? Infinity : 1000
          })
          for (const letter of ["a", "b", "c"]) yield* memo(letter)
          yield* TestClock.adjust(2000)
          yield* memo("d")
          yield* memo("e")
          deepStrictEqual(yield* kept(memo), ["a", "d", "e"])
        })
      )

      test(
        "maxEntries: of one function does not touch others",
        Effect.gen(function*() {
          const bounded = yield* counting({ maxEntries: 1, timeToLive: Infinity })
          const other = yield* counting({ name: "other", timeToLive: Infinity })
          for (const letter of letters) {
            yield* other.memo(letter)
            yield* bounded.memo(letter)
          }
          assert.strictEqual(yield* stored("other"), letters.length)
          assert.strictEqual(yield* stored(), 1)
        })
      )

      const text = (options: { readonly maxBytes: number; readonly maxEntries?: number }) =>
        Memoize.make({
          args: Schema.Tuple(Schema.String, Schema.Number),
          name: "texts",
          success: Schema.String,
          timeToLive: Infinity,
          ...options
        }, (text, length) => Effect.succeed(text.repeat(length)))

      test(
        "maxBytes: keys and answers together are no more",
        Effect.gen(function*() {
          const memo = yield* text({ maxBytes: 5000 })
          const keyspace = yield* keyspaceOf("texts")
          for (const letter of letters) {
            assert.strictEqual((yield* memo(letter, 1000)).length, 1000)
            yield* TestClock.adjust(1)
            assert.isAtMost((yield* keyspace.stat()).bytes, 5000)
          }
          assert.isTrue(Option.isSome(yield* memo.peek("t", 1000)))
          assert.isAtLeast((yield* keyspace.stat()).entries, 3)
        })
      )

      test(
        "maxBytes: a value that is larger is not stored, and evicts nothing",
        Effect.gen(function*() {
          const memo = yield* text({ maxBytes: 5000 })
          yield* memo("a", 1000)
          yield* memo("b", 1000)
          assert.strictEqual((yield* memo("large", 5000)).length, 25_000)
          deepStrictEqual(yield* memo.peek("large", 5000), Option.none())
          assert.strictEqual(yield* stored("texts"), 2)
        })
      )

      test(
        "maxBytes: an answer of that size in place of a small one",
        Effect.gen(function*() {
          let length = 1000
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            maxBytes: 5000,
            name: "growing",
            success: Schema.String,
            timeToLive: Infinity
          }, (text) => Effect.sync(() => text.repeat(length)))
          for (const letter of ["a", "b", "c"]) {
            yield* memo(letter)
            yield* TestClock.adjust(1)
          }
          length = 4000
          yield* memo.refresh("a")
          assert.isAtMost((yield* Effect.flatMap(keyspaceOf("growing"), (keyspace) => keyspace.stat())).bytes, 5000)
          assert.strictEqual((yield* memo("a")).length, 4000)
        })
      )

      test(
        "both bounds hold",
        Effect.gen(function*() {
          const memo = yield* text({ maxBytes: 5000, maxEntries: 2 })
          for (const letter of letters) yield* memo(letter, 10)
          assert.isAtMost(yield* stored("texts"), 2)
        })
      )

      test(
        "least-recently-used: those that were not used for longest go",
        Effect.gen(function*() {
          const { memo } = yield* counting({ eviction: "least-recently-used", maxEntries: 3, timeToLive: Infinity })
          for (const letter of ["a", "b", "c"]) {
            yield* memo(letter)
            yield* TestClock.adjust(5000)
          }
          yield* memo("a")
          yield* TestClock.adjust(5000)
          yield* engine.turns
          yield* memo("d")
          yield* TestClock.adjust(5000)
          yield* engine.turns
          deepStrictEqual(yield* kept(memo), ["a", "c", "d"])
        })
      )

      test(
        "least-recently-used: looking is not using",
        Effect.gen(function*() {
          const { memo } = yield* counting({ eviction: "least-recently-used", maxEntries: 2, timeToLive: Infinity })
          for (const letter of ["a", "b"]) {
            yield* memo(letter)
            yield* TestClock.adjust(5000)
          }
          yield* memo.peek("a")
          yield* TestClock.adjust(5000)
          yield* engine.turns
          yield* memo("c")
          deepStrictEqual(yield* kept(memo), ["b", "c"])
        })
      )

      test(
        "least-recently-used: uses are not written when they happen",
        Effect.gen(function*() {
          const { memo } = yield* counting({ eviction: "least-recently-used", maxEntries: 3, timeToLive: Infinity })
          yield* memo("a")
          yield* TestClock.adjust(5000)
          yield* engine.turns
          const storage = yield* Storage.Storage
          // In a transaction that is open a write on the read path would wait, or be seen.
          const before = yield* storage.maintenance.stats
          for (let i = 0; i < 100; i++) yield* memo("a")
          deepStrictEqual(yield* storage.maintenance.stats, before)
        })
      )

      test(
        "least-recently-stored: using does not keep",
        Effect.gen(function*() {
          const { memo } = yield* counting({ eviction: "least-recently-stored", maxEntries: 2, timeToLive: Infinity })
          for (const letter of ["a", "b"]) {
            yield* memo(letter)
            yield* TestClock.adjust(5000)
          }
          yield* memo("a")
          yield* TestClock.adjust(5000)
          yield* engine.turns
          yield* memo("c")
          deepStrictEqual(yield* kept(memo), ["b", "c"])
        })
      )

      test(
        "an invalidated answer makes room within 5 minutes",
        Effect.gen(function*() {
          const { memo } = yield* counting({ maxEntries: 3, timeToLive: Infinity })
          for (const letter of ["a", "b", "c"]) yield* memo(letter)
          yield* memo.invalidate("c")
          yield* TestClock.adjust("5 minutes")
          yield* memo("d")
          deepStrictEqual(yield* kept(memo), ["a", "b", "d"])
        })
      )

      test(
        "invalidateAll empties the order, too",
        Effect.gen(function*() {
          const { memo } = yield* counting({ maxEntries: 3, timeToLive: Infinity })
          for (const letter of ["a", "b", "c"]) yield* memo(letter)
          assert.strictEqual(yield* memo.invalidateAll, 3)
          for (const letter of ["d", "e", "f"]) yield* memo(letter)
          deepStrictEqual(yield* kept(memo), ["d", "e", "f"])
        })
      )

      test(
        "bounds that are none are refused when the function is made",
        Effect.gen(function*() {
          for (const bad of [-1, Number.NaN, "5" as never]) {
            assert.isTrue(Exit.isFailure(yield* Effect.exit(counting({ maxEntries: bad }))), `maxEntries ${bad}`)
            assert.isTrue(Exit.isFailure(yield* Effect.exit(counting({ maxBytes: bad }))), `maxBytes ${bad}`)
            assert.isTrue(Exit.isFailure(yield* Effect.exit(counting({ inMemory: { capacity: bad } }))), `${bad}`)
          }
          const error = yield* Effect.flip(counting({ maxEntries: Number.NaN }))
          assert.strictEqual(error.reason, "InvalidValue")
        })
      )
    })

    describe("inMemory", () => {
      const inMemory = { capacity: 3, maxAge: 1000 }

      test(
        "answers the same object, without the storage, for its age",
        Effect.gen(function*() {
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            inMemory,
            name: "objects",
            success: Schema.Struct({ of: Schema.String }),
            timeToLive: "1 hour"
          }, (text) => Effect.succeed({ of: text }))
          const first = yield* memo("a")
          assert.isTrue(first === (yield* memo("a")))
          // Behind its back.
          const keyspace = yield* keyspaceOf("objects")
          yield* keyspace.clear()
          yield* TestClock.adjust(999)
          assert.isTrue(first === (yield* memo("a")))
          yield* TestClock.adjust(1)
          assert.isFalse(first === (yield* memo("a")))
        })
      )

      test(
        "maxAge is 1 second unless told",
        Effect.gen(function*() {
          const { memo } = yield* counting({ inMemory: { capacity: 1 } })
          yield* memo("a")
          yield* Effect.flatMap(keyspaceOf("counting"), (keyspace) => keyspace.clear())
          yield* TestClock.adjust(999)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "those that were not used for longest go first",
        Effect.gen(function*() {
          const { memo } = yield* counting({ inMemory })
          for (const letter of ["a", "b", "c", "a", "d"]) yield* memo(letter)
          yield* Effect.flatMap(keyspaceOf("counting"), (keyspace) => keyspace.clear())
          // b is not in memory any more.
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("c"), 3)
          assert.strictEqual(yield* memo("d"), 4)
          assert.strictEqual(yield* memo("b"), 5)
        })
      )

      test(
        "is no longer than the time to live",
        Effect.gen(function*() {
          const { memo } = yield* counting({ inMemory: { capacity: 3, maxAge: "1 hour" }, timeToLive: 500 })
          yield* memo("a")
          yield* TestClock.adjust(499)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "invalidating and refreshing is seen at once, also through another memo of the same name",
        Effect.gen(function*() {
          const options = { inMemory: { capacity: 10, maxAge: "1 hour" }, tags: () => ["tag"] } as const
          let calls = 0
          const make = Effect.map(counting(options, () => Effect.sync(() => ++calls)), ({ memo }) => memo)
          const [one, other] = [yield* make, yield* make]
          const both = Effect.all([one("a"), other("a")])
          deepStrictEqual(yield* both, [1, 1])
          for (
            const [i, forget] of [
              one.invalidate("a"),
              other.invalidate("a"),
              one.softInvalidate("a"),
              other.softInvalidate("a"),
              one.invalidateAll,
              other.invalidateAll,
              Memoize.invalidateTag("tag"),
              Memoize.invalidateTag("tag", { soft: true }),
              one.refresh("a"),
              other.refresh("a")
            ].entries()
          ) {
            yield* forget
            deepStrictEqual(yield* both, [i + 2, i + 2], `${i}`)
            deepStrictEqual(yield* both, [i + 2, i + 2], `${i}`)
          }
        })
      )

      test(
        "a memo without it invalidates for one with it",
        Effect.gen(function*() {
          const one = yield* counting({ inMemory: { capacity: 10, maxAge: "1 hour" } })
          const plain = yield* counting()
          yield* one.memo("a")
          yield* plain.memo.invalidate("a")
          assert.strictEqual(yield* one.memo("a"), 2)
          yield* plain.memo.refresh("a")
          assert.strictEqual(yield* one.memo("a"), 1)
          assert.strictEqual(plain.calls(), 1)
        })
      )

      test(
        "a tag that is invalidated while the answer is only in memory",
        Effect.gen(function*() {
          const { memo } = yield* counting({ inMemory: { capacity: 10, maxAge: "1 hour" }, tags: () => ["tag"] })
          yield* memo("a")
          yield* memo("a")
          yield* Memoize.invalidateTag("tag")
          deepStrictEqual(yield* memo.peek("a"), Option.none())
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "what a transaction that is rolled back did is not in memory",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting({ inMemory: { capacity: 10, maxAge: "1 hour" }, tags: () => ["tag"] })
          yield* memo("a")
          yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            yield* memo.invalidate("a")
            assert.strictEqual(yield* memo("a"), 2)
            assert.strictEqual(yield* memo("b"), 3)
            assert.strictEqual(yield* memo("b"), 3)
            return yield* Effect.fail("no")
          })))
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("b"), 4)
        })
      )

      test(
        "what a transaction that is committed did is seen at once",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting({ inMemory: { capacity: 10, maxAge: "1 hour" }, tags: () => ["tag"] })
          yield* memo("a")
          yield* memo("b")
          yield* storage.transaction(memo.invalidate("a"))
          assert.strictEqual(yield* memo("a"), 3)
          yield* storage.transaction(memo.refresh("a"))
          assert.strictEqual(yield* memo("a"), 4)
          yield* storage.transaction(Effect.zipRight(memo.invalidateAll, memo("a")))
          assert.strictEqual(yield* memo("a"), 5)
          yield* storage.transaction(Memoize.invalidateTag("tag"))
          assert.strictEqual(yield* memo("a"), 6)
        })
      )

      test(
        "in a transaction it is not asked: the transaction's own writes count",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting({ inMemory: { capacity: 10, maxAge: "1 hour" } })
          yield* memo("a")
          yield* storage.transaction(Effect.gen(function*() {
            yield* memo.invalidate("a")
            assert.strictEqual(yield* memo("a"), 2)
            assert.strictEqual(yield* memo("a"), 2)
          }))
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "failures, undefined and stale answers",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.Boolean),
            failure: Schema.String,
            inMemory,
            name: "failing",
            staleWhileRevalidate: 1000,
            success: Schema.Undefined,
            timeToLive: 500
          }, (fails) => Effect.suspend(() => (calls++, fails ? Effect.fail("no") : Effect.succeed(undefined))))
          for (let i = 0; i < 2; i++) {
            assert.strictEqual(yield* Effect.flip(memo(true)), "no")
            assert.isUndefined(yield* memo(false))
          }
          assert.strictEqual(calls, 2)
          yield* TestClock.adjust(500)
          assert.isUndefined(yield* memo(false))
          yield* engine.turns
          assert.strictEqual(calls, 3)
        })
      )

      test(
        "bypass and enabled go round it",
        Effect.gen(function*() {
          let enabled = true
          const { memo } = yield* counting({ enabled: Effect.sync(() => enabled), inMemory })
          yield* memo("a")
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 2)
          enabled = false
          assert.strictEqual(yield* memo("a"), 3)
          enabled = true
          assert.strictEqual(yield* memo("a"), 1)
        })
      )
    })
  })
