/** Functions that return promises, memoised functions as services, and what is seen from outside, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Data, Effect, Exit, Fiber, Layer, Metric, Option, Schema, TestClock, Tracer } from "effect"
import type { Storage } from "effect-kv"
import { Memoize } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, origin, stored, testOn, underWay } from "../memoized.js"

class Down extends Data.TaggedError("Down")<{ readonly error: unknown }> {}

class LengthOf extends Memoize.Tag<LengthOf>()("test/LengthOf", {
  args: Schema.Tuple(Schema.String),
  failure: Schema.String,
  success: Schema.Number,
  timeToLive: 1000
}, (text) => text === "" ? Effect.fail("empty") : Effect.sync(() => (lengths.push(text), text.length))) {}
const lengths: Array<string> = []

class Named extends Memoize.Tag<Named>()("test/Named", {
  args: Schema.Tuple(Schema.String),
  name: "another name",
  success: Schema.String,
  timeToLive: 1000
}, (text) => Effect.succeed(text)) {}

class Greeting extends Effect.Tag("test/Greeting")<Greeting, { readonly word: string }>() {}
class Greet extends Memoize.Tag<Greet>()("test/Greet", {
  args: Schema.Tuple(Schema.String),
  success: Schema.String,
  timeToLive: 1000
}, (name) => Effect.map(Greeting, ({ word }) => `${word} ${name}`)) {}

/** Metrics are counted over the whole process, so every test has a function of its own. */
let names = 0

const counted = (memo: string) =>
  Effect.gen(function*() {
    const { lookupTime, ...counters } = Memoize.metrics
    const counts: Record<string, number> = {}
    for (const [name, counter] of Object.entries(counters)) {
      const { count } = yield* Metric.value(Metric.tagged(counter, "memo", memo))
      if (count !== 0) counts[name] = count
    }
    const { count } = yield* Metric.value(Metric.tagged(lookupTime, "memo", memo))
    if (count !== 0) counts.lookupTime = count
    return counts
  })

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    describe("promise", () => {
      const common = { args: Schema.Tuple(Schema.String), success: Schema.Number, timeToLive: 1000 }

      test(
        "memoises what the promise is resolved with",
        Effect.gen(function*() {
          const called: Array<unknown> = []
          const memo = yield* Memoize.promise({ ...common, name: "promise" }, async (text, signal) => {
            called.push([text, signal.aborted])
            return Promise.resolve(text.length)
          })
          assert.strictEqual(yield* memo("abc"), 3)
          assert.strictEqual(yield* memo("abc"), 3)
          deepStrictEqual(called, [["abc", false]])
          assert.isTrue(yield* memo.invalidate("abc"))
          assert.strictEqual(yield* memo.refresh("abc"), 3)
          assert.strictEqual(called.length, 2)
        })
      )

      test(
        "a function that returns no promise, and one without arguments",
        Effect.gen(function*() {
          const plain = yield* Memoize.promise({ ...common, name: "plain" }, (text) => text.length)
          assert.strictEqual(yield* plain("abc"), 3)
          let calls = 0
          const none = yield* Memoize.promise(
            { args: Schema.Tuple(), name: "none", success: Schema.Number, timeToLive: 1000 },
            (signal) => (assert.instanceOf(signal, AbortSignal), ++calls)
          )
          assert.strictEqual(yield* none(), 1)
          assert.strictEqual(yield* none(), 1)
        })
      )

      test(
        "the signal comes after all arguments, also when some were left out",
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const memo = yield* Memoize.promise({
            args: Schema.Tuple(Schema.String, Schema.Number),
            name: "several",
            success: Schema.Void,
            timeToLive: 1000
          }, (text, n, signal) => void seen.push([text, n, signal instanceof AbortSignal]))
          yield* memo("a", 1)
          deepStrictEqual(seen, [["a", 1, true]])
        })
      )

      test(
        "a rejection and what is thrown are UnknownException, and not stored",
        Effect.gen(function*() {
          const error = new Error("no")
          for (
            const f of [
              () => Promise.reject(error),
              (): number => {
                throw error
              }
            ]
          ) {
            let calls = 0
            const memo = yield* Memoize.promise({ ...common, name: "failing" }, () => (calls++, f()))
            for (let i = 0; i < 2; i++) {
              const failure = yield* Effect.flip(memo("a"))
              assert.isTrue(Cause.isUnknownException(failure))
              assert.isTrue(failure.error === error)
            }
            assert.strictEqual(calls, 2)
          }
          assert.strictEqual(yield* stored("failing"), 0)
        })
      )

      test(
        "catch makes an error of it, which can be stored",
        Effect.gen(function*() {
          const one = yield* Memoize.promise(
            { ...common, catch: (error) => new Down({ error }), name: "caught" },
            () => Promise.reject("no")
          )
          deepStrictEqual(yield* Effect.flip(one("a")), new Down({ error: "no" }))
          let calls = 0
          const two = yield* Memoize.promise(
            { ...common, catch: String, failure: Schema.String, name: "caught and stored" },
            () => (calls++, Promise.reject("no"))
          )
          assert.strictEqual(yield* Effect.flip(two("a")), "no")
          assert.strictEqual(yield* Effect.flip(two("a")), "no")
          assert.strictEqual(calls, 1)
        })
      )

      test(
        "a catch that throws is a defect",
        Effect.gen(function*() {
          const memo = yield* Memoize.promise({
            ...common,
            catch: () => {
              throw new Error("boom")
            },
            name: "catch throws"
          }, () => Promise.reject("no"))
          const exit = yield* Effect.exit(memo("a"))
          assert(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        })
      )

      test(
        "the signal is aborted when nobody waits any more, and not before",
        Effect.gen(function*() {
          const signals: Array<AbortSignal> = []
          const memo = yield* Memoize.promise({ ...common, name: "aborted" }, (_, signal) => {
            signals.push(signal)
            return new Promise<number>(() => undefined)
          })
          const [one, two] = [yield* Effect.fork(memo("a")), yield* Effect.fork(memo("a"))]
          yield* engine.turns
          assert.strictEqual(signals.length, 1)
          yield* Fiber.interrupt(one)
          yield* engine.turns
          assert.isFalse(signals[0]!.aborted)
          yield* Fiber.interrupt(two)
          yield* engine.turns
          assert.isTrue(signals[0]!.aborted)
        })
      )

      test(
        "the signal is aborted by the hard timeout",
        Effect.gen(function*() {
          const signals: Array<AbortSignal> = []
          const memo = yield* Memoize.promise({ ...common, hardTimeout: 500, name: "slow" }, (_, signal) => {
            signals.push(signal)
            return new Promise<number>(() => undefined)
          })
          const fiber = yield* underWay(engine, Effect.flip(memo("a")))
          yield* TestClock.adjust(500)
          assert.isTrue(Cause.isTimeoutException(yield* Fiber.join(fiber)))
          assert.isTrue(signals[0]!.aborted)
        })
      )

      test(
        "the signal of an answer is never aborted",
        Effect.gen(function*() {
          const signals: Array<AbortSignal> = []
          const memo = yield* Memoize.promise({ ...common, name: "answered" }, (text, signal) => {
            signals.push(signal)
            return Promise.resolve(text.length)
          })
          yield* memo("a")
          yield* engine.turns
          assert.isFalse(signals[0]!.aborted)
        })
      )
    })

    describe("Tag", () => {
      test(
        "layer: in the Storage of the context, under its id or another name",
        Effect.gen(function*() {
          lengths.length = 0
          const length = Effect.flatMap(LengthOf, (lengthOf) => lengthOf("abc"))
          assert.strictEqual(yield* Effect.provide(length, LengthOf.layer), 3)
          assert.strictEqual(yield* Effect.provide(length, LengthOf.layer), 3)
          deepStrictEqual(lengths, ["abc"])
          assert.strictEqual(yield* stored("test/LengthOf"), 1)
          yield* Effect.provide(Effect.flatMap(Named, (named) => named("a")), Named.layer)
          assert.strictEqual(yield* stored("another name"), 1)
        })
      )

      test(
        "layer: needs what the function needs, once",
        Effect.gen(function*() {
          const hello = Layer.succeed(Greeting, { word: "hello" })
          const greet = Effect.flatMap(Greet, (greet) => greet("Ada"))
          assert.strictEqual(yield* Effect.provide(greet, Layer.provide(Greet.layer, hello)), "hello Ada")
          assert.strictEqual(yield* Effect.provide(greet, Layer.provide(Greet.layerMemory, hello)), "hello Ada")
        })
      )

      test(
        "layerMemory: in a memory of its own",
        Effect.gen(function*() {
          lengths.length = 0
          yield* Effect.provide(
            Effect.gen(function*() {
              const lengthOf = yield* LengthOf
              assert.strictEqual(yield* lengthOf("abc"), 3)
              assert.strictEqual(yield* lengthOf("abc"), 3)
              assert.isTrue(yield* lengthOf.invalidate("abc"))
            }),
            LengthOf.layerMemory
          )
          deepStrictEqual(lengths, ["abc"])
          assert.strictEqual(yield* stored("test/LengthOf"), 0)
        })
      )

      test(
        "layerTest: a test double, that is called each time",
        Effect.gen(function*() {
          lengths.length = 0
          let calls = 0
          yield* Effect.provide(
            Effect.gen(function*() {
              const lengthOf = yield* LengthOf
              assert.strictEqual(yield* lengthOf("abc"), 1)
              assert.strictEqual(yield* lengthOf("abc"), 2)
              assert.strictEqual(yield* lengthOf.refresh("abc"), 3)
              assert.strictEqual(yield* Effect.flip(lengthOf("")), "double")
              assert.isFalse(yield* lengthOf.invalidate("abc"))
              assert.isFalse(yield* lengthOf.softInvalidate("abc"))
              assert.strictEqual(yield* lengthOf.invalidateAll, 0)
              deepStrictEqual(yield* lengthOf.peek("abc"), Option.none())
              assert.match(yield* lengthOf.keyOf("abc"), /^[0-9a-f]{64}$/)
              assert.strictEqual(yield* Memoize.bypass(lengthOf("abc")), 4)
            }),
            LengthOf.layerTest((text) => text === "" ? Effect.fail("double") : Effect.sync(() => ++calls))
          )
          deepStrictEqual(lengths, [])
        })
      )

      test(
        "layerTest: with services of its own",
        Effect.gen(function*() {
          const double = LengthOf.layerTest(() => Effect.map(Greeting, ({ word }) => word.length))
          const length = yield* Effect.provide(
            Effect.flatMap(LengthOf, (lengthOf) => lengthOf("a")),
            Layer.provide(double, Layer.succeed(Greeting, { word: "hello" }))
          )
          assert.strictEqual(length, 5)
        })
      )

      test(
        "layerTest: keys of different calls differ",
        Effect.gen(function*() {
          const { keyOf } = yield* Effect.provide(LengthOf, LengthOf.layerTest(() => Effect.succeed(1)))
          assert.notStrictEqual(yield* keyOf("a"), yield* keyOf("b"))
        })
      )
    })

    describe("metrics", () => {
      const metered = (
        title: string,
        options: Parameters<typeof counting>[0],
        body: (
          made: Effect.Effect.Success<ReturnType<typeof counting>>,
          name: string
        ) => Effect.Effect<void, unknown, Storage.Storage>,
        answer?: (call: number) => Effect.Effect<number, string>
      ) =>
        test(
          title,
          Effect.suspend(() => {
            const name = `metered ${++names}`
            return Effect.flatMap(
              counting({ name, timeToLive: 1000, ...options }, answer ?? Effect.succeed),
              (made) => body(made, name)
            )
          })
        )

      metered("hits, misses and lookup time", {}, ({ memo }, name) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* counted(name), {})
          yield* memo("a")
          deepStrictEqual(yield* counted(name), { lookupTime: 1, misses: 1 })
          yield* memo("a")
          yield* memo("a")
          yield* memo("b")
          deepStrictEqual(yield* counted(name), { hits: 2, lookupTime: 2, misses: 2 })
        }))

      metered("hits in memory", { inMemory: { capacity: 3 } }, ({ memo }, name) =>
        Effect.gen(function*() {
          for (let i = 0; i < 4; i++) yield* memo("a")
          deepStrictEqual(yield* counted(name), { hits: 3, lookupTime: 1, misses: 1 })
        }))

      metered("looking and forgetting are not counted", {}, ({ memo }, name) =>
        Effect.gen(function*() {
          yield* memo.peek("a")
          yield* memo.keyOf("a")
          yield* memo.invalidate("a")
          yield* memo.softInvalidate("a")
          yield* memo.invalidateAll
          deepStrictEqual(yield* counted(name), {})
        }))

      metered("stale hits and refreshes", { staleWhileRevalidate: 500 }, ({ memo }, name) =>
        Effect.gen(function*() {
          yield* memo("a")
          yield* TestClock.adjust(1000)
          yield* memo("a")
          yield* engine.turns
          deepStrictEqual(yield* counted(name), { lookupTime: 2, misses: 1, refreshes: 1, staleHits: 1 })
          yield* memo.refresh("a")
          deepStrictEqual(yield* counted(name), { lookupTime: 3, misses: 1, refreshes: 2, staleHits: 1 })
        }))

      metered(
        "a stale answer that stands in is a stale hit",
        { staleIfError: 5000 },
        ({ memo }, name) =>
          Effect.gen(function*() {
            yield* memo("a")
            yield* TestClock.adjust(1000)
            yield* memo("a")
            const counts = yield* counted(name)
            assert.strictEqual(counts.staleHits, 1)
          }),
        (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
      )

      test(
        "collapsed: the calls that waited for another one's answer",
        Effect.gen(function*() {
          const name = `metered ${++names}`
          const slow = origin<number>()
          const { memo } = yield* counting({ name }, () => slow.effect)
          const callers = yield* underWay(engine, Effect.replicateEffect(memo("a"), 10, { concurrency: "unbounded" }))
          yield* slow.end(Effect.succeed(1))
          yield* Fiber.join(callers)
          const counts = yield* counted(name)
          assert.strictEqual(counts.collapsed, 9)
          assert.strictEqual(counts.lookupTime, 1)
        })
      )

      metered("bypasses", {}, ({ memo }, name) =>
        Effect.gen(function*() {
          yield* Memoize.bypass(memo("a"))
          const counts = yield* counted(name)
          assert.strictEqual(counts.bypasses, 1)
          assert.isUndefined(counts.misses)
        }))

      metered("bypasses by enabled", { enabled: Effect.succeed(false) }, ({ memo }, name) =>
        Effect.gen(function*() {
          yield* memo("a")
          yield* memo("a")
          const counts = yield* counted(name)
          assert.strictEqual(counts.bypasses, 2)
        }))

      metered("evictions", { maxEntries: 2 }, ({ memo }, name) =>
        Effect.gen(function*() {
          for (const text of ["a", "b", "c", "d", "e"]) yield* memo(text)
          const counts = yield* counted(name)
          assert.strictEqual(counts.evictions, 3)
        }))

      metered("errors: the troubles that calls were not told", {
        timeToLive: () => Number.NaN
      }, ({ memo }, name) =>
        Effect.gen(function*() {
          yield* memo("a")
          const counts = yield* counted(name)
          assert.strictEqual(counts.errors, 1)
        }))

      metered(
        "lookup time is by the clock, in milliseconds",
        {},
        ({ memo }, name) =>
          Effect.gen(function*() {
            yield* memo("a")
            const { max, sum } = yield* Metric.value(Metric.tagged(Memoize.metrics.lookupTime, "memo", name))
            deepStrictEqual([max, sum], [250, 250])
          }),
        (call) => Effect.as(TestClock.adjust(250), call)
      )
    })

    describe("spans", () => {
      /** The spans of an effect: names, parents and attributes. */
      const spansOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.gen(function*() {
          const seen: Array<{ name: string; parent: string | undefined; attributes: Map<string, unknown> }> = []
          const native = yield* Effect.tracer
          const tracer = Tracer.make({
            context: (f) => f(),
            span: (name, parent, ...rest) => {
              const span = native.span(name, parent, ...rest)
              const attributes = new Map<string, unknown>()
              const above = Option.getOrUndefined(parent)
              seen.push({ attributes, name, parent: above?._tag === "Span" ? above.name : undefined })
              return new Proxy(span, {
                get: (target, member) =>
                  member === "attribute"
                    ? (key: string, value: unknown) => (attributes.set(key, value), target.attribute(key, value))
                    : Reflect.get(target, member, target)
              })
            }
          })
          yield* Effect.withTracer(self, tracer)
          return seen
        })

      test(
        "a call is one, that says what became of it, and the function is within",
        Effect.gen(function*() {
          const { memo } = yield* counting(
            { name: "traced", staleWhileRevalidate: 500, timeToLive: 1000 },
            (call) => Effect.withSpan(Effect.succeed(call), "the function")
          )
          const outcomes = Effect.map(
            spansOf(Effect.withSpan(memo("a"), "program")),
            (spans) => {
              const own = spans.filter(({ name }) => name === "memoize traced")
              assert.strictEqual(own.length, 1)
              assert.strictEqual(own[0]?.parent, "program")
              return own[0]?.attributes.get("effect_kv.memo.outcome")
            }
          )
          assert.strictEqual(yield* outcomes, "miss")
          assert.strictEqual(yield* outcomes, "hit")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* outcomes, "stale")
          yield* engine.turns
          yield* memo.invalidate("a")
          const spans = yield* spansOf(memo("a"))
          assert.include(spans.map(({ name }) => name), "the function")
        })
      )
    })
  })
