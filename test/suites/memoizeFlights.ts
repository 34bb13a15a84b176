/** Calls at the same time, and calls in transactions, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Option, Schema, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, joinAll, origin, stored, testOn, underWay } from "../memoized.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }) {}

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("single-flight", () => {
      test(
        "10,000 callers at the same time, one call",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { calls, memo } = yield* counting({}, () => slow.effect)
          const callers = yield* underWay(
            engine,
            Effect.replicateEffect(memo("a"), 10_000, { concurrency: "unbounded" })
          )
          yield* slow.end(Effect.succeed(7))
          const answers = yield* Fiber.join(callers)
          assert.strictEqual(answers.length, 10_000)
          assert.isTrue(answers.every((answer) => answer === 7))
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "different keys do not wait for each other",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { memo } = yield* counting({}, (call, text) => text === "slow" ? slow.effect : Effect.succeed(call))
          const waiting = yield* underWay(engine, memo("slow"))
          assert.strictEqual(yield* memo("quick"), 2)
          yield* slow.end(Effect.succeed(7))
          assert.strictEqual(yield* Fiber.join(waiting), 7)
        })
      )

      test(
        "the first caller's interruption does not fail the others",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { calls, memo } = yield* counting({}, () => slow.effect)
          const first = yield* underWay(engine, memo("a"))
          const others = yield* Effect.replicateEffect(Effect.fork(memo("a")), 3)
          yield* engine.turns
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
          yield* Fiber.interrupt(others[0]!)
          yield* slow.end(Effect.succeed(7))
          deepStrictEqual(yield* joinAll(others.slice(1)), [7, 7])
          assert.strictEqual(calls(), 1)
          assert.strictEqual(yield* memo("a"), 7)
        })
      )

      test(
        "is interrupted when nobody waits any more, and begins anew for the next",
        Effect.gen(function*() {
          let interrupted = 0
          const { memo } = yield* counting({}, (call) =>
            call === 1
              ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
              : Effect.succeed(call))
          const callers = yield* Effect.replicateEffect(Effect.fork(memo("a")), 3)
          yield* engine.turns
          for (const caller of callers) {
            assert.strictEqual(interrupted, 0)
            yield* Fiber.interrupt(caller)
          }
          yield* engine.turns
          assert.strictEqual(interrupted, 1)
          assert.strictEqual(yield* stored(), 0)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "a failure and a defect reach every waiter; a defect is not stored",
        Effect.gen(function*() {
          const outcomes: ReadonlyArray<Effect.Effect<never, NotFound>> = [
            Effect.die("boom"),
            Effect.fail(new NotFound({ id: "1" }))
          ]
          const slow = origin<number, NotFound>()
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            failure: NotFound,
            name: "failing",
            success: Schema.Number,
            timeToLive: 1000
          }, () => Effect.suspend(() => (calls++, slow.effect)))
          for (const [i, outcome] of outcomes.entries()) {
            const callers = yield* Effect.replicateEffect(Effect.fork(Effect.exit(memo())), 20)
            yield* engine.turns
            yield* slow.end(outcome)
            const expected = yield* Effect.exit(outcome)
            for (const exit of yield* joinAll(callers)) deepStrictEqual(exit, expected)
            assert.strictEqual(calls, i + 1)
          }
          yield* Effect.flip(memo())
          assert.strictEqual(calls, 2)
        })
      )

      test(
        "what the function answers is the same object for all who waited",
        Effect.gen(function*() {
          const slow = origin<{ readonly n: number }>()
          const memo = yield* Memoize.make({
            args: Schema.Tuple(),
            name: "objects",
            success: Schema.Struct({ n: Schema.Number }),
            timeToLive: 1000
          }, () => slow.effect)
          const callers = yield* underWay(engine, Effect.replicateEffect(memo(), 5, { concurrency: "unbounded" }))
          yield* slow.end(Effect.sync(() => ({ n: 1 })))
          assert.strictEqual(new Set(yield* Fiber.join(callers)).size, 1)
        })
      )

      test(
        "answers that are not stored are shared by those who wait, too",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { calls, memo } = yield* counting({ timeToLive: 0 }, () => slow.effect)
          const callers = yield* Effect.replicateEffect(Effect.fork(memo("a")), 5)
          yield* engine.turns
          yield* slow.end(Effect.succeed(7))
          deepStrictEqual(yield* joinAll(callers), [7, 7, 7, 7, 7])
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "those who bypass are not among them",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { calls, memo } = yield* counting({}, (call) => call === 1 ? slow.effect : Effect.succeed(call))
          const waiting = yield* underWay(engine, memo("a"))
          assert.strictEqual(yield* Memoize.bypass(memo("a")), 2)
          yield* slow.end(Effect.succeed(7))
          assert.strictEqual(yield* Fiber.join(waiting), 7)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "refresh: callers that come meanwhile and find nothing fresh wait for it",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { calls, memo } = yield* counting({}, () => slow.effect)
          const refreshing = yield* underWay(engine, memo.refresh("a"))
          const callers = yield* Effect.replicateEffect(Effect.fork(memo("a")), 3)
          yield* engine.turns
          yield* slow.end(Effect.succeed(7))
          deepStrictEqual(yield* joinAll([refreshing, ...callers]), [7, 7, 7, 7])
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "refresh: callers that find something fresh do not wait",
        Effect.gen(function*() {
          const slow = origin<number>()
          const { memo } = yield* counting({}, (call) => call === 1 ? Effect.succeed(1) : slow.effect)
          yield* memo("a")
          const refreshing = yield* underWay(engine, memo.refresh("a"))
          assert.strictEqual(yield* memo("a"), 1)
          yield* slow.end(Effect.succeed(2))
          assert.strictEqual(yield* Fiber.join(refreshing), 2)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "refresh: what was being computed when it began is not stored",
        Effect.gen(function*() {
          const [old, anew] = [origin<number>(), origin<number>()]
          const { calls, memo } = yield* counting({}, (call) => call === 1 ? old.effect : anew.effect)
          const first = yield* underWay(engine, memo("a"))
          const refreshing = yield* underWay(engine, memo.refresh("a"))
          assert.strictEqual(calls(), 2)
          yield* anew.end(Effect.succeed(2))
          assert.strictEqual(yield* Fiber.join(refreshing), 2)
          yield* old.end(Effect.succeed(1))
          yield* Fiber.join(first)
          yield* engine.turns
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "refresh: also when the old computation ends first",
        Effect.gen(function*() {
          const [old, anew] = [origin<number>(), origin<number>()]
          const { memo } = yield* counting({}, (call) => call === 1 ? old.effect : anew.effect)
          const first = yield* underWay(engine, memo("a"))
          const refreshing = yield* underWay(engine, memo.refresh("a"))
          yield* old.end(Effect.succeed(1))
          yield* Fiber.join(first)
          yield* engine.turns
          assert.strictEqual(yield* stored(), 0)
          const waiting = yield* underWay(engine, memo("a"))
          yield* anew.end(Effect.succeed(2))
          deepStrictEqual(yield* joinAll([refreshing, waiting]), [2, 2])
        })
      )
    })

    describe("invalidating while the function is under way", () => {
      const ways = ["invalidate", "softInvalidate", "invalidateAll", "invalidateTag", "soft tag"] as const
      const forgetting = (way: (typeof ways)[number], memo: Memoize.Memo<readonly [string], number, unknown>) => {
        switch (way) {
          case "invalidate":
          case "softInvalidate":
            return Effect.asVoid(memo[way]("a"))
          case "invalidateAll":
            return Effect.asVoid(memo.invalidateAll)
          case "invalidateTag":
            return Memoize.invalidateTag("tag")
          case "soft tag":
            return Memoize.invalidateTag("tag", { soft: true })
        }
      }

      for (const way of ways) {
        test(
          `${way}: its answer is not fresh`,
          Effect.gen(function*() {
            const old = origin<number>()
            const { memo } = yield* counting(
              { tags: () => ["tag"] },
              (call) => call === 1 ? old.effect : Effect.succeed(call)
            )
            const first = yield* underWay(engine, memo("a"))
            yield* forgetting(way, memo)
            yield* old.end(Effect.succeed(1))
            assert.strictEqual(yield* Fiber.join(first), 1)
            yield* engine.turns
            assert.notStrictEqual(Option.getOrUndefined(yield* memo.peek("a"))?.state, "fresh")
            assert.strictEqual(yield* memo("a"), 2)
            assert.strictEqual(yield* memo("a"), 2)
          })
        )

        test(
          `${way}: also with an answer of before`,
          Effect.gen(function*() {
            const old = origin<number>()
            const { memo } = yield* counting(
              { tags: () => ["tag"] },
              (call) => call === 2 ? old.effect : Effect.succeed(call)
            )
            yield* memo("a")
            const refreshing = yield* underWay(engine, memo.refresh("a"))
            yield* forgetting(way, memo)
            yield* old.end(Effect.succeed(2))
            assert.strictEqual(yield* Fiber.join(refreshing), 2)
            yield* engine.turns
            assert.strictEqual(yield* memo("a"), 3)
            assert.strictEqual(yield* memo("a"), 3)
          })
        )
      }

      for (const way of ways.slice(0, 3)) {
        test(
          `${way}: calls that come later do not wait for it`,
          Effect.gen(function*() {
            const [old, anew] = [origin<number>(), origin<number>()]
            const { calls, memo } = yield* counting({}, (call) => call === 1 ? old.effect : anew.effect)
            const first = yield* underWay(engine, memo("a"))
            yield* forgetting(way, memo)
            const second = yield* underWay(engine, memo("a"))
            assert.strictEqual(calls(), 2)
            yield* anew.end(Effect.succeed(2))
            assert.strictEqual(yield* Fiber.join(second), 2)
            yield* old.end(Effect.succeed(1))
            assert.strictEqual(yield* Fiber.join(first), 1)
            yield* engine.turns
            assert.strictEqual(yield* memo("a"), 2)
          })
        )

        test(
          `${way}: those who came before still share its answer`,
          Effect.gen(function*() {
            const old = origin<number>()
            const { calls, memo } = yield* counting({}, () => old.effect)
            const callers = yield* underWay(engine, Effect.replicateEffect(memo("a"), 3, { concurrency: "unbounded" }))
            yield* forgetting(way, memo)
            yield* old.end(Effect.succeed(1))
            deepStrictEqual(yield* Fiber.join(callers), [1, 1, 1])
            assert.strictEqual(calls(), 1)
          })
        )

        test(
          `${way}: by another memo of the same name, as in another process`,
          Effect.gen(function*() {
            const old = origin<number>()
            const { memo } = yield* counting({}, (call) => call === 1 ? old.effect : Effect.succeed(call))
            const other = yield* counting()
            const first = yield* underWay(engine, memo("a"))
            yield* forgetting(way, other.memo)
            yield* old.end(Effect.succeed(1))
            yield* Fiber.join(first)
            yield* engine.turns
            deepStrictEqual(yield* memo.peek("a"), Option.none())
            assert.strictEqual(yield* memo("a"), 2)
          })
        )
      }

      test(
        "a function that invalidates itself is not stored",
        Effect.gen(function*() {
          const memo: Memoize.Memo<readonly [string], number> = yield* Effect.map(
            counting({}, (call, text) => Effect.as(Effect.ignore(Effect.suspend(() => memo.invalidate(text))), call)),
            ({ memo }) => memo
          )
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )
    })

    describe("recursion", () => {
      test(
        "a function that calls itself with other arguments",
        Effect.gen(function*() {
          let calls = 0
          const fibonacci: Memoize.Memo<readonly [number], bigint> = yield* Memoize.make({
            args: Schema.Tuple(Schema.Number),
            name: "fibonacci",
            success: Schema.BigInt,
            timeToLive: Infinity
          }, (n): Effect.Effect<bigint> => {
            calls++
            return n < 2
              ? Effect.succeed(BigInt(n))
              : Effect.zipWith(fibonacci(n - 1), fibonacci(n - 2), (a, b) => a + b, { concurrent: true })
          })
          assert.strictEqual(yield* fibonacci(90), 2880067194370816120n)
          assert.strictEqual(calls, 91)
        })
      )

      test(
        "a function that calls itself with the same arguments does not wait for itself",
        Effect.gen(function*() {
          const memo: Memoize.Memo<readonly [string], number> = yield* Effect.map(
            counting({}, (call): Effect.Effect<number> => call > 3 ? Effect.succeed(call) : memo("a")),
            ({ memo }) => memo
          )
          const exit = yield* Effect.exit(memo("a"))
          assert.isTrue(Exit.isSuccess(exit))
        })
      )

      test(
        "nor do functions that call each other in a circle, from both sides at once",
        Effect.gen(function*() {
          const one: Memoize.Memo<readonly [string], number> = yield* Effect.map(
            counting({ name: "one" }, (call): Effect.Effect<number> =>
              call > 3 ? Effect.succeed(call) : Effect.zipRight(engine.turns, other("a"))),
            ({ memo }) =>
              memo
          )
          const other: Memoize.Memo<readonly [string], number> = yield* Effect.map(
            counting({ name: "other" }, (call): Effect.Effect<number> =>
              call > 3 ? Effect.succeed(call) : Effect.zipRight(engine.turns, one("a"))),
            ({ memo }) =>
              memo
          )
          const exits = yield* Effect.all([Effect.exit(one("a")), Effect.exit(other("a"))], { concurrency: 2 })
          assert.isTrue(exits.every(Exit.isSuccess))
        })
      )
    })

    describe("in a transaction", () => {
      test(
        "reads what was stored before, and what it has stored itself",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { calls, memo } = yield* counting()
          yield* memo("before")
          yield* storage.transaction(Effect.gen(function*() {
            assert.strictEqual(yield* memo("before"), 1)
            assert.strictEqual(yield* memo("own"), 2)
            assert.strictEqual(yield* memo("own"), 2)
          }))
          assert.strictEqual(yield* memo("own"), 2)
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "rolled back, nothing is left of it",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { calls, memo } = yield* counting()
          yield* memo("a")
          yield* memo("c")
          const error = yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            assert.isTrue(yield* memo.invalidate("a"))
            assert.strictEqual(yield* memo("a"), 3)
            assert.strictEqual(yield* memo("b"), 4)
            assert.strictEqual(yield* memo.refresh("c"), 5)
            return yield* Effect.fail("no")
          })))
          assert.strictEqual(error, "no")
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("c"), 2)
          assert.strictEqual(yield* memo("b"), 6)
          assert.strictEqual(calls(), 6)
        })
      )

      test(
        "the function itself runs in it",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const notes = yield* storage.keyspace("notes")
          const { memo } = yield* counting({}, (call) =>
            Effect.as(Effect.orDie(notes.set("k", "v")), call))
          yield* Effect.flip(storage.transaction(Effect.zipRight(memo("a"), Effect.fail("no"))))
          deepStrictEqual(yield* notes.get("k"), Option.none())
        })
      )

      test(
        "outside of one, the function is in none, though its caller began one in another fiber",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const notes = yield* storage.keyspace("notes")
          const { memo } = yield* counting({}, (call) => Effect.as(Effect.orDie(notes.set("k", "v")), call))
          yield* memo("a")
          assert.isTrue(Option.isSome(yield* notes.get("k")))
        })
      )

      test(
        "computes for itself while the same is under way outside, and neither waits for the other",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const slow = origin<number>()
          const { memo } = yield* counting({}, (call) => call === 1 ? slow.effect : Effect.succeed(call))
          const outside = yield* underWay(engine, memo("a"))
          assert.strictEqual(yield* storage.transaction(memo("a")), 2)
          yield* slow.end(Effect.succeed(1))
          assert.strictEqual(yield* Fiber.join(outside), 1)
        })
      )

      test(
        "callers outside, that come while it is open, do not wait for it in a circle",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const [inside, began] = [origin<number>(), yield* Deferred.make<void>()]
          const { memo } = yield* counting({}, (call) => call === 1 ? inside.effect : Effect.succeed(call))
          const transaction = yield* Effect.fork(storage.transaction(
            Effect.zipRight(Deferred.succeed(began, undefined), memo("a")),
            { retry: true }
          ))
          yield* Deferred.await(began)
          yield* inside.began
          const outside = yield* Effect.replicateEffect(Effect.fork(memo("a")), 3)
          yield* engine.turns
          yield* inside.end(Effect.succeed(1))
          yield* Fiber.join(transaction)
          const answers = yield* joinAll(outside)
          assert.isTrue(answers.every((answer) => answer === 1 || answer === 2))
          assert.include([1, 2], yield* memo("a"))
        })
      )

      test(
        "nothing is computed in the background",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { calls, memo } = yield* counting({ staleWhileRevalidate: 5000, timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          // It is answered stale, or it is computed there.
          const answer = yield* storage.transaction(Effect.tap(memo("a"), engine.turns))
          yield* engine.turns
          assert.strictEqual(calls(), answer)
        })
      )

      test(
        "a stale answer stands in for a failure there, too",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting(
            { staleIfError: 5000, timeToLive: 1000 },
            (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
          )
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* storage.transaction(memo("a")), 1)
        })
      )

      test(
        "a failure of the function leaves the transaction usable",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting({}, (call) => call === 1 ? Effect.fail("no") : Effect.succeed(call))
          yield* storage.transaction(Effect.gen(function*() {
            assert.strictEqual(yield* Effect.flip(memo("a")), "no")
            assert.strictEqual(yield* memo("a"), 2)
          }))
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "of two calls at once in it each is answered",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting()
          const answers = yield* storage.transaction(
            Effect.all([memo("a"), memo("a"), memo("b")], { concurrency: "unbounded" })
          )
          assert.strictEqual(answers.length, 3)
        })
      )

      test(
        "tags: an invalidation that is rolled back has not been, one that is committed has",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { memo } = yield* counting({ tags: () => ["tag"] })
          yield* memo("a")
          yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            yield* Memoize.invalidateTag("tag")
            assert.strictEqual(yield* memo("a"), 2)
            assert.strictEqual(yield* memo("a"), 2)
            return yield* Effect.fail("no")
          })))
          assert.strictEqual(yield* memo("a"), 1)
          yield* storage.transaction(Memoize.invalidateTag("tag"))
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
        })
      )
    })
  })
