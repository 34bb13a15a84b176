/** What KtCompat promises of those who wait for an item of a queue. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Effect, Exit, FastCheck as fc, Fiber, Option, Stream, TestClock } from "effect"
import type { KtCompat } from "effect-kv"
import { Storage } from "effect-kv"
import { describeOn, type Engine, memory, postgres } from "../engines.js"
import { answers, holds, ktError, nothing, raw, some, testOn } from "../ktContainers.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.Queue.bpop", () => {
    const test = testOn(engine)
    const { turns } = engine
    /** Nobody moves the clock: what comes of it comes at once. */
    const waiting = <A, E>(self: Effect.Effect<A, E>) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(self)
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        return fiber
      })

    test("U134: gets what is there at once, by the order of the queue", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        yield* queue.extend(["a", "b"])
        yield* queue.add("c", { score: 1 })
        some(yield* queue.bpop(), "c")
        some(yield* queue.bpop({ timeout: "1 second" }), "a")
        some(yield* queue.bpop({ minScore: 0, timeout: "0 millis" }), "b")
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("U134: gets at once what is added later, by add, extend, transfer, or a procedure", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        const other = kt.Queue("other")
        const adding: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
          queue.add("item"),
          queue.extend(["item"]),
          Effect.zipRight(other.add("item"), other.transfer("q")),
          raw(kt, "queue_add", { data: "item", queue: "q" }),
          raw(kt, "queue_madd", { 0: "item", queue: "q" })
        ]
        for (const add of adding) {
          const fiber = yield* waiting(queue.bpop())
          yield* add
          some(yield* Fiber.join(fiber), "item")
        }
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("U134: None after the time-out, and not before", (kt) =>
      Effect.gen(function*() {
        const fiber = yield* waiting(kt.Queue("q").bpop({ timeout: "1 minute" }))
        yield* TestClock.adjust("59 seconds")
        yield* turns
        yield* TestClock.adjust("999 millis")
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        yield* TestClock.adjust("1 millis")
        nothing(yield* Fiber.join(fiber))
        nothing(yield* kt.Queue("q").bpop({ timeout: "0 millis" }))
        // Who waited leaves nothing behind that takes an item.
        yield* kt.Queue("q").add("later")
        yield* turns
        assert.strictEqual(yield* kt.Queue("q").count, 1)
      }))

    test("U134: a time-out that is none is refused", (kt) =>
      Effect.gen(function*() {
        yield* ktError(kt.Queue("q").bpop({ timeout: [NaN, 0] }), "InvalidArgument")
      }))

    test("U134: several who wait each get one", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        const fibers = yield* Effect.replicateEffect(Effect.fork(queue.bpop()), 20)
        yield* turns
        yield* queue.extend(Array.from({ length: 8 }, (_, i) => `${i}`))
        for (let i = 8; i < 20; i++) yield* queue.add(`${i}`)
        const popped = yield* Effect.forEach(fibers, Fiber.join)
        assert.strictEqual(new Set(popped.flatMap(Option.toArray)).size, 20)
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("U134: whoever waits for another queue, or in another database, gets nothing of it", (kt) =>
      Effect.gen(function*() {
        const fibers = yield* Effect.forEach(
          [kt.Queue("q2"), kt.Queue(""), kt.Queue("Q"), kt.Queue("q", { db: 1 })],
          (queue) => Effect.fork(queue.bpop())
        )
        const mine = yield* waiting(kt.Queue("q").bpop())
        yield* kt.Queue("q").extend(["a", "b"])
        some(yield* Fiber.join(mine), "a")
        yield* turns
        for (const fiber of fibers) nothing(yield* Fiber.poll(fiber))
        some(yield* kt.Queue("q").pop(), "b")
        yield* Fiber.interruptAll(fibers)
      }))

    test("U134: one who waits for a score leaves what is lower to others", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        const choosy = yield* waiting(queue.bpop({ minScore: 5 }))
        const other = yield* waiting(queue.bpop())
        yield* queue.add("low", { score: 4 })
        some(yield* Fiber.join(other), "low")
        nothing(yield* Fiber.poll(choosy))
        yield* queue.add("high", { score: 5 })
        some(yield* Fiber.join(choosy), "high")
        const another = yield* waiting(queue.bpop({ minScore: 5 }))
        yield* queue.add("raised")
        yield* turns
        nothing(yield* Fiber.poll(another))
        yield* queue.setPriority("raised", 5)
        some(yield* Fiber.join(another), "raised")
      }))

    test("U134: does not wait in a transaction, but takes what is there", (kt) =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const queue = kt.Queue("q")
        nothing(yield* storage.transaction(queue.bpop()))
        nothing(yield* storage.transaction(queue.bpop({ timeout: "1 day" })))
        yield* queue.add("a")
        some(yield* storage.transaction(queue.bpop()), "a")
        some(yield* storage.transaction(Effect.zipRight(queue.add("b"), queue.bpop())), "b")
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("U134: an item that was added in a transaction is had when that is committed", (kt) =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const queue = kt.Queue("q")
        const fiber = yield* waiting(queue.bpop())
        const [added, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const transaction = yield* Effect.fork(storage.transaction(
          queue.add("item").pipe(
            Effect.zipRight(Deferred.succeed(added, undefined)),
            Effect.zipRight(Deferred.await(go))
          )
        ))
        yield* Deferred.await(added)
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(transaction)
        some(yield* Fiber.join(fiber), "item")
      }))

    test("U134: an item that was added in a transaction that is rolled back is not had", (kt) =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const queue = kt.Queue("q")
        const fiber = yield* waiting(queue.bpop())
        yield* Effect.flip(storage.transaction(Effect.zipRight(queue.add("never"), Effect.fail("back"))))
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        yield* TestClock.adjust("5 seconds")
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        yield* queue.add("item")
        some(yield* Fiber.join(fiber), "item")
      }))

    test("U134: what a transaction took and was rolled back is had by who waits, within a second", (kt) =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const queue = kt.Queue("q")
        yield* queue.add("item")
        yield* Effect.flip(storage.transaction(Effect.zipRight(queue.pop(), Effect.fail("back"))))
        some(yield* queue.bpop(), "item")
      }))

    test("U134: what comes without a word, as from another process, is had within a second", (kt) =>
      Effect.gen(function*() {
        const fiber = yield* waiting(kt.Queue("q").bpop({ timeout: "1 hour" }))
        yield* TestClock.adjust("1 minute")
        yield* turns
        yield* kt.set("q\t500000000000000000000001", "item")
        yield* turns
        nothing(yield* Fiber.poll(fiber))
        yield* TestClock.adjust("1 second")
        some(yield* Fiber.join(fiber), "item")
      }))

    test("U134: whoever waits can be interrupted, and takes nothing any more", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        const fibers = yield* Effect.replicateEffect(Effect.fork(queue.bpop()), 10)
        yield* turns
        yield* Fiber.interruptAll(fibers)
        yield* queue.add("item")
        yield* turns
        some(yield* queue.peek(), "item")
        // The next one in line is told.
        yield* queue.clear
        const [first, second] = [yield* waiting(queue.bpop()), yield* waiting(queue.bpop())]
        yield* Effect.zip(queue.add("item"), Fiber.interruptFork(first), { concurrent: true })
        const exit = yield* Fiber.await(first)
        if (Exit.isSuccess(exit)) {
          some(exit.value, "item")
          yield* queue.add("another")
        }
        assert(Option.isSome(yield* Fiber.join(second)))
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("a stream gives items as they come, in order", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("q")
        yield* queue.extend(["a", "b"])
        const fiber = yield* waiting(Stream.runCollect(Stream.take(queue.stream(), 4)))
        yield* queue.add("c")
        yield* queue.add("d")
        deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(fiber)), ["a", "b", "c", "d"])
      }))

    test("the procedure waits as long as it is told, in seconds", (kt) =>
      Effect.gen(function*() {
        yield* answers(kt, "queue_bpop", { queue: "q", timeout: "0" }, {})
        const fiber = yield* waiting(raw(kt, "queue_bpop", { queue: "q", timeout: "0.5" }))
        yield* TestClock.adjust("500 millis")
        deepStrictEqual(yield* Fiber.join(fiber), {})
        const other = yield* waiting(raw(kt, "queue_bpop", { min_score: "2", queue: "q" }))
        yield* kt.Queue("q").extend(["a"], { score: 2 })
        deepStrictEqual(yield* Fiber.join(other), { 0: "a" })
      }))

    describe("interruption at any moment loses nothing", () => {
      const fibers = engine === memory ? 100 : engine === postgres ? 40 : 60
      const runs = engine === memory ? 15 : engine === postgres ? 2 : 5
      const moment = fc.nat(40)
      const waiters = fc.array(
        fc.record({
          /** When it is interrupted, if it is. */
          ends: fc.option(moment, { nil: undefined }),
          begins: moment,
          isChoosy: fc.boolean(),
          timeout: fc.option(fc.constantFrom(0, 5), { nil: undefined })
        }),
        { maxLength: fibers, minLength: fibers }
      )
      const items = fc.array(
        fc.record({ begins: moment, isRolledBack: fc.boolean(), score: fc.nat(1) }),
        { maxLength: fibers, minLength: fibers / 2 }
      )
      const after = (moments: number) =>
        engine === memory
          ? Effect.repeatN(Effect.yieldNow(), moments)
          : Effect.repeatN(Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve))), moments)

      test("U134: what came out and what is left is what was put in", (kt) =>
        Effect.flatMap(Storage.Storage, (storage) =>
          holds(runs, fc.tuple(waiters, items), ([waiters, items], run) =>
            Effect.gen(function*() {
              const queue = kt.Queue(`q${run}`)
              const adding = yield* Effect.forEach(items, ({ begins, isRolledBack, score }, i) => {
                const add = queue.add(`${i}`, { score })
                return Effect.fork(Effect.zipRight(
                  after(begins),
                  isRolledBack
                    ? Effect.ignore(storage.transaction(Effect.zipRight(add, Effect.fail("back"))))
                    : add
                ))
              })
              const popping = yield* Effect.forEach(waiters, ({ begins, ends, isChoosy, timeout }) =>
                Effect.gen(function*() {
                  const fiber = yield* Effect.fork(Effect.zipRight(
                    after(begins),
                    queue.bpop({
                      minScore: isChoosy ? 1 : undefined,
                      timeout: timeout === undefined ? undefined : `${timeout} millis`
                    })
                  ))
                  if (ends !== undefined) {
                    yield* Effect.fork(Effect.zipRight(after(ends), Fiber.interrupt(fiber)))
                  }
                  return fiber
                }))
              yield* Effect.forEach(adding, Fiber.join)
              yield* turns
              yield* TestClock.adjust(3)
              const exits = yield* Effect.forEach(popping, Fiber.interrupt, { concurrency: "unbounded" })
              const out = exits.flatMap((exit) =>
                Exit.isSuccess(exit) ? Option.toArray(exit.value) : []
              )
              for (const exit of exits) assert(Exit.isSuccess(exit) || Exit.isInterrupted(exit), String(exit))
              const left = yield* queue.popMany(1000)
              deepStrictEqual(
                [...out, ...left].map(Number).sort((a, b) => a - b),
                items.flatMap(({ isRolledBack }, i) =>
                  isRolledBack ? [] : [i]
                )
              )
            }))))
    })
  })
