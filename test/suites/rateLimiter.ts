/** What `TtlStore.layerRateLimiter` promises: the store of the rate limiter of `@effect/experimental`, on any engine. */
import { RateLimiter } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  type Context,
  Duration,
  Effect,
  Either,
  FastCheck as fc,
  Fiber,
  Layer,
  Option,
  TestClock,
  TestContext
} from "effect"
import { Storage, TtlStore } from "effect-kv"
import { describeOn, type Engine, memory } from "../engines.js"
import { atOnce } from "../support.js"

type Store = Context.Tag.Service<typeof RateLimiter.RateLimiterStore>
type FixedWindow = Parameters<Store["fixedWindow"]>[0]
type TokenBucket = Parameters<Store["tokenBucket"]>[0]

const tag = <const Tag extends string>(...tags: ReadonlyArray<Tag>): fc.Arbitrary<Tag> => fc.constantFrom(...tags)
const key = fc.constantFrom("a", "b", "", "\0", "\ud800", "a".repeat(3000), `${"a".repeat(2999)}b`)
const clock = (unit: number) =>
  fc.record({ _tag: tag("clock"), millis: fc.integer({ max: 30, min: 0 }).map((steps) => steps * unit) })

/** All that a refill may take here is exact in binary, so that there is nothing to be rounded. */
const refill = fc.constantFrom(0.5, 1, 2.5, 10)

const fixedWindow: fc.Arbitrary<FixedWindow> = fc.record({
  key,
  limit: fc.option(fc.integer({ max: 6, min: 1 }), { nil: undefined }),
  refillRate: fc.oneof(refill, fc.constantFrom(0, 1000 / 3)).map(Duration.millis),
  tokens: fc.integer({ max: 4, min: -1 })
})

interface Bucket {
  readonly left: number
  readonly at: number
}

/** A bucket that is filled one by one, and is not there when it is full. */
const filled = (bucket: Bucket | undefined, limit: number, refill: number, now: number): Bucket | undefined => {
  if (bucket === undefined) return undefined
  let { at, left } = bucket
  for (; left < limit && at + refill <= now; at += refill) left++
  return left < limit ? { at, left } : undefined
}

interface Taking {
  readonly _tag: "take"
  readonly key: string
  readonly tokens: number
  readonly overflow: boolean
}

const taking = fc.record({
  _tag: tag("take"),
  key,
  overflow: fc.boolean(),
  tokens: fc.integer({ max: 5, min: 0 })
})

/** What a program that consumes sees. */
const outcome = (self: Effect.Effect<RateLimiter.ConsumeResult, RateLimiter.RateLimiterError>) =>
  Effect.map(
    Effect.either(self),
    Either.match({
      onLeft: (error) =>
        error.reason === "Exceeded"
          ? [error.key, error.limit, error.remaining, Duration.toMillis(error.retryAfter)]
          : error,
      onRight: ({ delay, limit, remaining, resetAfter }) => ({
        delay: Duration.toMillis(delay),
        limit,
        remaining,
        resetAfter: Duration.toMillis(resetAfter)
      })
    })
  )

const refillRate = Duration.millis(100)

export const suite = (engine: Engine) =>
  describeOn(engine, "TtlStore.layerRateLimiter", () => {
    const live = Layer.provideMerge(
      Layer.provideMerge(RateLimiter.layer, TtlStore.layerRateLimiter()),
      engine.layer
    )
    const test = <A, E>(
      title: string,
      body: Effect.Effect<A, E, Layer.Layer.Success<typeof live>>
    ) => it.effect(title, () => Effect.provide(body, live))

    const property = <A>(
      title: string,
      arbitrary: fc.Arbitrary<A>,
      body: (input: A, theirs: Store) => Effect.Effect<void, unknown, RateLimiter.RateLimiterStore>
    ) =>
      it(title, () =>
        fc.assert(
          fc.asyncProperty(arbitrary, (input) =>
            Effect.provide(RateLimiter.RateLimiterStore, RateLimiter.layerStoreMemory).pipe(
              Effect.flatMap((theirs) => body(input, theirs)),
              Effect.provide(Layer.provide(TtlStore.layerRateLimiter(), engine.layer)),
              Effect.provide(TestContext.TestContext),
              Effect.runPromise
            )),
          { numRuns: engine === memory ? 50 : 15 }
        ), 60_000)

    describe("a window", () => {
      property(
        "is counted as by their store in memory",
        fc.array(fc.oneof(fc.record({ _tag: tag("take"), options: fixedWindow }), clock(1)), { maxLength: 30 }),
        (commands, theirs) =>
          Effect.gen(function*() {
            const ours = yield* RateLimiter.RateLimiterStore
            for (const command of commands) {
              if (command._tag === "clock") {
                yield* TestClock.adjust(command.millis)
                continue
              }
              const { options } = command
              deepStrictEqual(
                yield* ours.fixedWindow(options),
                yield* theirs.fixedWindow(options),
                JSON.stringify(options)
              )
            }
          })
      )

      test(
        "never grants more than the limit to those who ask at once",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const answers = yield* atOnce(20, store.fixedWindow({ key: "k", limit: 7, refillRate, tokens: 1 }))
          const granted = answers.filter(([count]) => count <= 7)
          deepStrictEqual(
            granted.sort(([a], [b]) => a - b),
            Array.from({ length: 7 }, (_, i) => [i + 1, 100 * (i + 1)] as const)
          )
          deepStrictEqual(answers.filter(([count]) => count > 7), Array.from({ length: 13 }, () => [8, 700] as const))
        })
      )

      test(
        "with a limit of 0 refuses, and without one does not",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          deepStrictEqual(yield* store.fixedWindow({ key: "k", limit: 0, refillRate, tokens: 1 }), [1, 0])
          deepStrictEqual(yield* store.fixedWindow({ key: "k", limit: 0, refillRate, tokens: 1 }), [1, 0])
          deepStrictEqual(yield* store.fixedWindow({ key: "k", limit: undefined, refillRate, tokens: 9 }), [9, 900])
        })
      )

      test(
        "may be of any length, and then never ends",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const ask = (tokens: number) =>
            store.fixedWindow({ key: "k", limit: 2, refillRate: Duration.infinity, tokens })
          deepStrictEqual(yield* ask(0), [0, 0])
          deepStrictEqual(yield* ask(2), [2, Infinity])
          yield* TestClock.adjust("10000 days")
          deepStrictEqual(yield* ask(0), [2, Infinity])
          deepStrictEqual(yield* ask(1), [3, Infinity])
        })
      )
    })

    describe("a bucket", () => {
      property(
        "is that of a model, and of their store in memory if that forgets it when it is full",
        fc.record({
          commands: fc.array(fc.oneof(taking, clock(1)), { maxLength: 40 }),
          limit: fc.integer({ max: 4, min: 1 }),
          refill
        }),
        ({ commands, limit, refill }, theirs) =>
          Effect.gen(function*() {
            const ours = yield* RateLimiter.RateLimiterStore
            const model = new Map<string, Bucket | undefined>()
            const forgotten = new Map<string, number>()
            let now = 0
            for (const command of commands) {
              if (command._tag === "clock") {
                now += command.millis
                yield* TestClock.adjust(command.millis)
                continue
              }
              const { key, overflow, tokens }: Taking = command
              const bucket = filled(model.get(key), limit, refill, now)
              if (bucket === undefined) forgotten.set(key, (forgotten.get(key) ?? 0) + 1)
              const { at, left } = bucket ?? { at: now, left: limit }
              const next = left - tokens
              model.set(key, next < 0 && !overflow ? bucket : { at, left: next })

              const options: TokenBucket = {
                allowOverflow: overflow,
                key,
                limit,
                refillRate: Duration.millis(refill),
                tokens
              }
              const what = `${JSON.stringify(command)} at ${now}`
              deepStrictEqual(yield* ours.tokenBucket(options), next, what)
              deepStrictEqual(
                yield* theirs.tokenBucket({ ...options, key: `${key}/${forgotten.get(key)}` }),
                next,
                `theirs: ${what}`
              )
            }
          })
      )

      test(
        "never grants more than it holds to those who ask at once",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const ask = store.tokenBucket({ allowOverflow: false, key: "k", limit: 7, refillRate, tokens: 1 })
          const answers = yield* atOnce(20, ask)
          deepStrictEqual(answers.filter((left) => left >= 0).sort(), [0, 1, 2, 3, 4, 5, 6])
          // What was refused was not taken.
          yield* TestClock.adjust(100)
          assert.strictEqual(yield* ask, 0)
          assert.strictEqual(yield* ask, -1)
        })
      )

      test(
        "holds no more than a limit that is lowered, also if the clock has gone back",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const ask = (key: string, limit: number) =>
            store.tokenBucket({ allowOverflow: false, key, limit, refillRate, tokens: 1 })
          yield* TestClock.setTime(10_000)
          deepStrictEqual([yield* ask("a", 10), yield* ask("b", 10)], [9, 9])
          assert.strictEqual(yield* ask("a", 2), 1)
          yield* TestClock.setTime(9000)
          assert.strictEqual(yield* ask("b", 2), 1)
        })
      )

      test(
        "is full after any time with nothing to wait for, and never refilled with all to wait for",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const ask = (refillRate: Duration.DurationInput) =>
            store.tokenBucket({
              allowOverflow: false,
              key: Duration.format(refillRate),
              limit: 2,
              refillRate: Duration.decode(refillRate),
              tokens: 2
            })
          deepStrictEqual([yield* ask(0), yield* ask(0)], [0, 0])
          assert.strictEqual(yield* ask(Infinity), 0)
          yield* TestClock.adjust("10000 days")
          assert.strictEqual(yield* ask(Infinity), -2)
        })
      )
    })

    describe("what is stored", () => {
      test(
        "goes when its window ends or its bucket is full",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const { keyspace, maintenance } = yield* Storage.Storage
          const raw = yield* keyspace("ratelimiter")
          const size = Effect.map(raw.stat(), ({ entries }) => entries)
          yield* store.fixedWindow({ key: "k", limit: 10, refillRate, tokens: 3 })
          yield* store.tokenBucket({ allowOverflow: false, key: "k", limit: 10, refillRate, tokens: 5 })
          assert.strictEqual(yield* size, 2)
          yield* TestClock.adjust(299)
          assert.strictEqual(yield* size, 2)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* size, 1)
          yield* TestClock.adjust(199)
          assert.strictEqual(yield* size, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* size, 0)
          assert.strictEqual(yield* maintenance.compact, 2)
        })
      )

      test(
        "is not written by who is refused, or takes nothing",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const raw = yield* Effect.flatMap(Storage.Storage, ({ keyspace }) => keyspace("ratelimiter"))
          const ask = (tokens: number) =>
            Effect.all([
              store.fixedWindow({ key: "k", limit: 3, refillRate, tokens }),
              store.tokenBucket({ allowOverflow: false, key: "k", limit: 3, refillRate, tokens })
            ])
          deepStrictEqual(yield* ask(4), [[4, 0], -1])
          deepStrictEqual(yield* ask(0), [[0, 0], 3])
          assert.strictEqual((yield* raw.stat()).entries, 0)
          deepStrictEqual(yield* ask(2), [[2, 200], 1])
          const keys = ["fixed-window/\"k\"", "token-bucket/\"k\""]
          const before = yield* raw.getMany(keys)
          assert.isTrue(before.every(Option.isSome))
          yield* TestClock.adjust(150)
          deepStrictEqual(yield* ask(3), [[5, 50], -1])
          deepStrictEqual(yield* raw.getMany(keys), before)
        })
      )

      test(
        "is given back with the transaction in which it was taken",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const storage = yield* Storage.Storage
          const ask = Effect.all([
            store.fixedWindow({ key: "k", limit: 3, refillRate, tokens: 2 }),
            store.tokenBucket({ allowOverflow: false, key: "k", limit: 3, refillRate, tokens: 2 })
          ])
          deepStrictEqual(yield* Effect.flip(storage.transaction(Effect.flatMap(ask, Effect.fail))), [[2, 200], 1])
          deepStrictEqual(yield* storage.transaction(ask), [[2, 200], 1])
          deepStrictEqual(yield* ask, [[4, 200], -1])
        })
      )

      test(
        "and is something else fails the call",
        Effect.gen(function*() {
          const store = yield* RateLimiter.RateLimiterStore
          const raw = yield* Effect.flatMap(Storage.Storage, ({ keyspace }) => keyspace("ratelimiter"))
          for (const value of ["", "1", "1 x", "1 2 3", new Uint8Array([49, 32, 50])]) {
            yield* raw.set("fixed-window/\"k\"", value)
            const error = yield* Effect.flip(store.fixedWindow({ key: "k", limit: 3, refillRate, tokens: 2 }))
            assert.strictEqual(error.reason, "StoreError")
            assert.include(error.message, "something else is stored at key fixed-window/\"k\"")
          }
        })
      )
    })

    it("a clock that goes back grants nothing, and one that is set right takes nothing", () =>
      Effect.gen(function*() {
        const store = yield* RateLimiter.RateLimiterStore
        yield* TestClock.setTime(10_000)
        const fixed = store.fixedWindow({ key: "k", limit: 2, refillRate, tokens: 1 })
        const bucket = store.tokenBucket({ allowOverflow: false, key: "k", limit: 2, refillRate, tokens: 1 })
        const both = Effect.all([fixed, bucket])
        deepStrictEqual(yield* both, [[1, 100], 1])
        yield* TestClock.setTime(9000)
        deepStrictEqual(yield* both, [[2, 1200], 0])
        deepStrictEqual(yield* both, [[3, 1200], -1])
        yield* TestClock.setTime(10_100)
        deepStrictEqual(yield* both, [[3, 100], 0])
        yield* TestClock.setTime(10_200)
        deepStrictEqual(yield* both, [[1, 100], 0])
      }).pipe(Effect.provide(live), Effect.provide(TestContext.TestContext), Effect.runPromise))

    describe("on it", () => {
      const limits = { a: 1, b: 3, c: 4 }
      const consuming = fc.record({
        _tag: tag("take"),
        algorithm: fc.constantFrom<Array<"fixed-window" | "token-bucket">>("fixed-window", "token-bucket"),
        key: fc.constantFrom<Array<keyof typeof limits>>("a", "b", "c"),
        onExceeded: fc.constantFrom<Array<"delay" | "fail">>("delay", "fail"),
        tokens: fc.option(fc.integer({ max: 5, min: 1 }), { nil: undefined })
      })

      // In steps in which one token comes back, nothing is left of a step when a bucket is full.
      property(
        "their RateLimiter answers as on their store in memory",
        fc.array(fc.oneof(consuming, clock(10)), { maxLength: 30 }),
        (commands, theirStore) =>
          Effect.gen(function*() {
            const ours = yield* RateLimiter.make
            const theirs = yield* Effect.provideService(RateLimiter.make, RateLimiter.RateLimiterStore, theirStore)
            for (const command of commands) {
              if (command._tag === "clock") {
                yield* TestClock.adjust(command.millis)
                continue
              }
              const { _tag, ...options } = command
              const limit = limits[options.key]
              const all = { ...options, limit, window: limit * 10 }
              deepStrictEqual(yield* outcome(ours.consume(all)), yield* outcome(theirs.consume(all)), _tag)
            }
          })
      )

      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        test(
          `withLimiter delays what is too much, or fails it, by ${algorithm}`,
          Effect.gen(function*() {
            const withLimiter = yield* RateLimiter.makeWithRateLimiter
            const done: Array<number> = []
            const run = (i: number) =>
              withLimiter({ algorithm, key: "jobs", limit: 2, onExceeded: "delay", window: "1 second" })(
                Effect.sync(() => done.push(i))
              )
            const running = yield* Effect.fork(Effect.forEach([1, 2, 3], run, { concurrency: 1, discard: true }))
            yield* engine.turns
            deepStrictEqual(done, [1, 2])
            yield* TestClock.adjust("1 second")
            yield* engine.turns
            deepStrictEqual(done, [1, 2, 3])
            yield* Fiber.join(running)

            const failing = withLimiter({ algorithm, key: "other", limit: 2, window: "1 second" })(Effect.void)
            yield* failing
            yield* failing
            const error = yield* Effect.flip(failing)
            assert(error.reason === "Exceeded")
            assert.strictEqual(error.limit, 2)
            yield* TestClock.adjust(error.retryAfter)
            yield* failing
          })
        )
      }

      test(
        "sleep sleeps until it is its turn",
        Effect.gen(function*() {
          const sleep = yield* RateLimiter.makeSleep
          const sleeping = sleep({ algorithm: "token-bucket", key: "k", limit: 1, window: "1 minute" })
          yield* sleeping
          const fiber = yield* Effect.fork(sleeping)
          yield* engine.turns
          yield* TestClock.adjust("59 seconds")
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
          yield* TestClock.adjust("1 second")
          assert.strictEqual(Duration.toMillis((yield* Fiber.join(fiber)).delay), 60_000)
        })
      )
    })
  })
