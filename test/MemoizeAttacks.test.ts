/** What is asked of memoised functions by interleavings that are rare, and by those who mean harm. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import type { Scope } from "effect"
import { Deferred, Effect, Exit, Fiber, FiberId, Option, Request, RequestResolver, Schema, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import { describeOn, kinds, memory } from "./engines.js"
import { keysOf } from "./support.js"

const { turns } = memory
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

const common = {
  args: Schema.mutable(Schema.Tuple(Schema.String)),
  name: "f",
  success: Schema.Number,
  timeToLive: "1 hour"
} as const

/** A function that answers with how often it was called, when it is let go. */
const makeGated = () => {
  const gates: Array<Deferred.Deferred<void>> = []
  const asked: Array<string> = []
  const ended: Array<number> = []
  const f = (key: string) =>
    Effect.suspend(() => {
      const gate = Deferred.unsafeMake<void>(FiberId.none)
      gates.push(gate)
      const call = asked.push(key)
      return Effect.onExit(Effect.as(Deferred.await(gate), call), () => Effect.sync(() => void ended.push(call)))
    })
  /** Lets the nth call go, if there is one. */
  const release = (call: number) =>
    Effect.suspend(() => {
      const gate = gates[call - 1]
      return gate === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(gate, undefined))
    })
  return { asked, ended, f, release }
}

/** A function that answers at once with how often it was called. */
const counting = () => {
  const asked: Array<string> = []
  return { asked, f: (key: string) => Effect.sync(() => asked.push(key)) }
}

const counted = () => counting().f

/** The answer of a process that is not the one that is tested. */
const elsewhere = (key: string) => Effect.succeed(key === "" ? 0 : 100)

const one = <A, E>(name: string, body: () => Effect.Effect<A, E, Scope.Scope | Storage.Storage>, millis?: number) =>
  it.scoped(name, () => Effect.provide(body(), memory.layer), millis)

describe("an invalidation", () => {
  one("is not undone by what another process stored meanwhile, and then by this one", () =>
    Effect.gen(function*() {
      const slow = makeGated()
      const here = yield* Memoize.make(common, (key) => slow.f(key))
      const there = yield* Memoize.make(common, (key) => elsewhere(key))
      const computing = yield* Effect.fork(here("a"))
      yield* turns
      yield* there.invalidate("a")
      deepStrictEqual(yield* there("a"), 100)
      yield* slow.release(1)
      deepStrictEqual(yield* Fiber.join(computing), 1)
      // What it computed is from before the invalidation.
      deepStrictEqual(yield* there("a"), 100)
    }))

  one("of a tag is not undone by what is then held in memory", () =>
    Effect.gen(function*() {
      const { f, release } = makeGated()
      const memo = yield* Memoize.make({ ...common, inMemory: { capacity: 10 }, tags: () => ["t"] }, (key) => f(key))
      const computing = yield* Effect.fork(memo("a"))
      yield* turns
      yield* Memoize.invalidateTag("t")
      yield* release(1)
      deepStrictEqual(yield* Fiber.join(computing), 1)
      const later = yield* Effect.fork(memo("a"))
      yield* turns
      yield* release(2)
      deepStrictEqual(yield* Fiber.join(later), 2)
    }))

  one("of a tag has calls that come later not wait for what is invalid", () =>
    Effect.gen(function*() {
      const { asked, f, release } = makeGated()
      const memo = yield* Memoize.make({ ...common, tags: () => ["t"] }, (key) => f(key))
      const computing = yield* Effect.fork(memo("a"))
      yield* turns
      yield* Memoize.invalidateTag("t")
      const later = yield* Effect.fork(memo("a"))
      yield* turns
      yield* release(1)
      deepStrictEqual(yield* Fiber.join(computing), 1)
      yield* turns
      deepStrictEqual(asked.length, 2)
      yield* release(2)
      deepStrictEqual(yield* Fiber.join(later), 2)
    }))

  one("of all has what another process computes meanwhile not be stored", () =>
    Effect.gen(function*() {
      const slow = makeGated()
      const here = yield* Memoize.make(common, (key) => slow.f(key))
      const there = yield* Memoize.make(common, (key) => elsewhere(key))
      const computing = yield* Effect.fork(here("a"))
      yield* turns
      yield* there.invalidate("a")
      yield* there.invalidateAll
      yield* slow.release(1)
      yield* Fiber.join(computing)
      // The first invalidation alone would have had that.
      deepStrictEqual(yield* there("a"), 100)
    }))

  one("is not forgotten to make room", () =>
    Effect.gen(function*() {
      const slow = makeGated()
      const bounded = { ...common, maxEntries: 3 }
      const here = yield* Memoize.make(bounded, (key) => slow.f(key))
      const there = yield* Memoize.make(bounded, (key) => elsewhere(key))
      const computing = yield* Effect.fork(here("a"))
      yield* turns
      yield* there.invalidate("a")
      for (const i of numbers(10)) {
        yield* TestClock.adjust("2 seconds")
        yield* there(`other ${i}`)
      }
      yield* slow.release(1)
      yield* Fiber.join(computing)
      deepStrictEqual(yield* there("a"), 100)
    }))

  one("leaves the room of answers to answers", () =>
    Effect.gen(function*() {
      const memo = yield* Memoize.make({ ...common, maxEntries: 3 }, counted())
      for (const key of ["a", "b", "c"]) yield* memo(key)
      yield* memo.invalidate("b")
      yield* memo.invalidate("c")
      yield* TestClock.adjust("2 seconds")
      yield* memo("d")
      yield* TestClock.adjust("2 seconds")
      yield* memo("e")
      const kept = yield* Effect.filter(["a", "b", "c", "d", "e"], (key) => Effect.map(memo.peek(key), Option.isSome))
      deepStrictEqual(kept, ["a", "d", "e"])
    }))

  one("while others wait for the lease has the next one's answer be stored", () =>
    Effect.gen(function*() {
      const leased = { ...common, lease: "1 minute" } as const
      const slow = makeGated()
      const first = yield* Memoize.make(leased, (key) => slow.f(key))
      const later = counting()
      const second = yield* Memoize.make(leased, (key) => later.f(key))
      const third = yield* Memoize.make(leased, (key) => later.f(key))
      const computing = yield* Effect.fork(first("a"))
      yield* turns
      const waiting = yield* Effect.fork(Effect.all([second("a"), third("a")], { concurrency: "unbounded" }))
      yield* turns
      yield* first.invalidate("a")
      yield* slow.release(1)
      deepStrictEqual(yield* Fiber.join(computing), 1)
      yield* Effect.repeatN(Effect.zipRight(TestClock.adjust("1 second"), turns), 20)
      deepStrictEqual(yield* Fiber.join(waiting), [1, 1])
      deepStrictEqual(later.asked.length, 1)
    }))
})

describe("a refresh", () => {
  one(
    "answers those who come meanwhile, also if somebody waits for what was computed before",
    () =>
      Effect.gen(function*() {
        const { f, release } = makeGated()
        const memo = yield* Memoize.make(common, (key) => f(key))
        const before = yield* Effect.forkAll([memo("a"), memo("a")])
        yield* turns
        const refreshing = yield* Effect.fork(memo.refresh("a"))
        yield* turns
        const meanwhile = yield* Effect.fork(memo("a"))
        yield* turns
        yield* release(1)
        yield* turns
        yield* release(2)
        deepStrictEqual(yield* Fiber.join(before), [1, 1])
        deepStrictEqual(yield* Fiber.join(refreshing), 2)
        deepStrictEqual(yield* Fiber.join(meanwhile), 2)
      })
  )

  one("in a transaction is seen when that is committed", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const memo = yield* Memoize.make({ ...common, inMemory: { capacity: 10, maxAge: "1 hour" } }, counted())
      deepStrictEqual(yield* memo("a"), 1)
      deepStrictEqual(yield* storage.transaction(memo.refresh("a")), 2)
      deepStrictEqual(yield* memo("a"), 2)
    }))

  one("is seen by namesakes", () =>
    Effect.gen(function*() {
      const { f } = counting()
      const options = { ...common, inMemory: { capacity: 10, maxAge: "1 hour" } } as const
      const memo = yield* Memoize.make(options, (key) => f(key))
      const namesake = yield* Memoize.make(options, (key) => f(key))
      deepStrictEqual(yield* memo("a"), 1)
      deepStrictEqual(yield* namesake("a"), 1)
      deepStrictEqual(yield* memo.refresh("a"), 2)
      deepStrictEqual(yield* namesake("a"), 2)
    }))

  one("is seen also if the clock went back", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(10_000)
      const memo = yield* Memoize.make({ ...common, inMemory: { capacity: 10, maxAge: "1 hour" } }, counted())
      deepStrictEqual(yield* memo("a"), 1)
      yield* TestClock.setTime(5000)
      deepStrictEqual(yield* memo.refresh("a"), 2)
      deepStrictEqual(yield* memo("a"), 2)
    }))

  one("is seen also if somebody has read what was before, and is slow to decode it", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const decoding = yield* Deferred.make<void>()
      let isSlow = false
      const success = Schema.transformOrFail(Schema.Number, Schema.Number, {
        decode: (n) =>
          isSlow && n === 1
            ? Effect.as(Effect.zipRight(Deferred.succeed(decoding, undefined), Deferred.await(gate)), n)
            : Effect.succeed(n),
        encode: Effect.succeed,
        strict: true
      })
      const { f } = counting()
      const options = { ...common, inMemory: { capacity: 10, maxAge: "1 hour" }, success } as const
      yield* Effect.flatMap(Memoize.make(options, (key) => f(key)), (memo) => memo("a"))
      const memo = yield* Memoize.make(options, (key) => f(key))
      isSlow = true
      const reading = yield* Effect.fork(memo("a"))
      yield* Deferred.await(decoding)
      deepStrictEqual(yield* memo.refresh("a"), 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reading)
      deepStrictEqual(yield* memo("a"), 2)
    }))

  one(
    "in the background does not have its function compute what its caller is computing",
    () =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        let outerCalls = 0
        const options = { ...common, staleWhileRevalidate: "1 day", timeToLive: "1 minute" } as const
        const outer: Memoize.Memo<[string], number> = yield* Memoize.make(
          { ...options, name: "outer" },
          (key) =>
            Effect.sync(() => ++outerCalls).pipe(
              Effect.zipLeft(inner(key)),
              Effect.zipLeft(Deferred.await(gate))
            )
        )
        let innerCalls = 0
        const inner: Memoize.Memo<[string], number> = yield* Memoize.make(
          { ...options, name: "inner" },
          (key) => Effect.suspend(() => ++innerCalls === 1 ? Effect.succeed(1) : outer(key))
        )
        yield* inner("a")
        yield* TestClock.adjust("2 minutes")
        const calling = yield* Effect.fork(outer("a"))
        yield* turns
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(calling)
        yield* turns
        deepStrictEqual([outerCalls, innerCalls], [1, 2])
      })
  )
})

describe("the order of what is bounded", () => {
  const rows = Effect.flatMap(
    Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("memo:order memo/f")),
    (order) => order.stat()
  )
  const answers = Effect.flatMap(
    Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("memo/f")),
    (keyspace) => keyspace.stat()
  )

  one("has nothing of answers that were invalidated long ago", () =>
    Effect.gen(function*() {
      const memo = yield* Memoize.make({ ...common, maxEntries: 10, timeToLive: Infinity }, counted())
      for (const i of numbers(50)) {
        yield* memo(`${i}`)
        yield* memo.invalidate(`${i}`)
        yield* TestClock.adjust("10 minutes")
      }
      deepStrictEqual((yield* answers).entries, 0)
      assert.isAtMost((yield* rows).entries, 20)
    }))

  one("makes room also after many invalidations", () =>
    Effect.gen(function*() {
      const memo = yield* Memoize.make({ ...common, maxEntries: 10, timeToLive: Infinity }, counted())
      for (const i of numbers(200)) {
        yield* memo(`${i}`)
        yield* memo.invalidate(`${i}`)
        yield* TestClock.adjust("10 minutes")
      }
      let most = 0
      for (const i of numbers(30)) {
        yield* memo(`new ${i}`)
        yield* TestClock.adjust("10 minutes")
        most = Math.max(most, (yield* answers).entries)
      }
      assert.isAtMost(most, 11)
    }))

  one(
    "finds again what lost its place when somebody was interrupted, or killed, while making room",
    () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const memo = yield* Memoize.make({ ...common, maxEntries: 10, timeToLive: Infinity }, counted())
        for (const i of numbers(10)) yield* memo(`${i}`)
        // Taken from the order, as one does who makes room, and is killed before it removes the answers.
        const order = yield* storage.keyspace("memo:order memo/f")
        deepStrictEqual((yield* order.take({ prefix: "t" }, 10)).length, 10)
        yield* TestClock.adjust("1 minute")
        for (const i of numbers(10)) {
          yield* memo(`new ${i}`)
          yield* TestClock.adjust("1 minute")
        }
        const kept = yield* Effect.filter(numbers(10), (i) => Effect.map(memo.peek(`new ${i}`), Option.isSome))
        deepStrictEqual(kept, numbers(10))
      })
  )

  one("works with a bound that is no whole number", () =>
    Effect.gen(function*() {
      const made = yield* Effect.exit(Memoize.make({ ...common, maxEntries: 2.5 }, counted()))
      if (Exit.isFailure(made)) return
      for (const i of numbers(10)) {
        yield* made.value(`${i}`)
        yield* TestClock.adjust("1 minute")
      }
      assert.isAtMost((yield* answers).entries, 3)
    }))
})

describe("a call", () => {
  one(
    "goes on in the background after softTimeout, also if somebody else began it and is interrupted",
    () =>
      Effect.gen(function*() {
        const { ended, f, release } = makeGated()
        const memo = yield* Memoize.make(
          { ...common, softTimeout: "1 second", staleIfError: "1 day", timeToLive: "1 minute" },
          (key) => f(key)
        )
        const first = yield* Effect.fork(memo("a"))
        yield* turns
        yield* release(1)
        yield* Fiber.join(first)
        yield* TestClock.adjust("2 minutes")
        const refreshing = yield* Effect.fork(memo.refresh("a"))
        yield* turns
        const calling = yield* Effect.fork(memo("a"))
        yield* turns
        yield* Fiber.interrupt(refreshing)
        yield* TestClock.adjust("2 seconds")
        deepStrictEqual(yield* Fiber.join(calling), 1)
        yield* turns
        deepStrictEqual(ended, [1])
      })
  )

  one("is stored with any life", () =>
    Effect.gen(function*() {
      for (const timeToLive of ["300000 weeks", 1e15, 1e16, 1e300, 0.5, Infinity]) {
        const { asked, f } = counting()
        const memo = yield* Memoize.make(
          { ...common, name: `life ${timeToLive}`, onStorageFailure: "fail", timeToLive: timeToLive as 1 },
          (key) => f(key)
        )
        const told = yield* Effect.exit(Effect.zipRight(memo("a"), memo("a")))
        deepStrictEqual([timeToLive, told, asked.length], [timeToLive, Exit.succeed(1), 1])
      }
    }))

  one("survives whatever throws", () =>
    Effect.gen(function*() {
      const boom = (): never => {
        throw new Error("boom")
      }
      const throwing = Schema.transform(Schema.Number, Schema.Number, { decode: (n) => n, encode: boom, strict: true })
      const each = {
        args: Memoize.make(
          { ...common, args: Schema.mutable(Schema.Tuple(Schema.String.pipe(Schema.filter(boom)))) },
          counted()
        ),
        enabled: Memoize.make({ ...common, enabled: Effect.sync(boom) }, counted()),
        key: Memoize.make({ ...common, key: (key: string) => key === "" ? key : boom() }, counted()),
        success: Memoize.make({ ...common, success: throwing }, counted()),
        tags: Memoize.make({ ...common, tags: boom }, counted()),
        timeToLive: Memoize.make({ ...common, timeToLive: boom }, counted())
      }
      for (const [what, make] of Object.entries(each)) {
        const memo = yield* make
        deepStrictEqual([what, yield* Effect.exit(memo("a"))], [what, Exit.succeed(1)])
      }
    }))

  one("that fails survives a schema of failures that throws", () =>
    Effect.gen(function*() {
      const failure = Schema.String.pipe(Schema.filter(() => {
        throw new Error("boom")
      }))
      const memo = yield* Memoize.make({ ...common, failure }, (key) => Effect.fail(key === "" ? key : "mine"))
      deepStrictEqual(yield* Effect.exit(memo("a")), Exit.fail("mine"))
    }))

  one("is answered by deep recursion that others wait for", () =>
    Effect.gen(function*() {
      const depth = 5000
      const gate = yield* Deferred.make<void>()
      const deepest = yield* Deferred.make<void>()
      const sum: Memoize.Memo<readonly [number], number> = yield* Memoize.make(
        { ...common, args: Schema.Tuple(Schema.Number), name: "sum" },
        (n) =>
          n === 0
            ? Effect.as(Effect.zipRight(Deferred.succeed(deepest, undefined), Deferred.await(gate)), 0)
            : Effect.map(sum(n - 1), (m) => m + 1)
      )
      const other = yield* Memoize.make({ ...common, name: "other" }, (key) => sum(key === "" ? 0 : depth))
      const first = yield* Effect.fork(sum(depth))
      yield* Deferred.await(deepest)
      const second = yield* Effect.fork(other("a"))
      yield* turns
      yield* Deferred.succeed(gate, undefined)
      deepStrictEqual(yield* Fiber.join(first), depth)
      deepStrictEqual(yield* Effect.exit(Fiber.join(second)), Exit.succeed(depth))
    }), 60_000)

  one("is answered though what is stored is corrupted in any way", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* storage.keyspace("memo/f")
      const { f } = counting()
      const memo = yield* Memoize.make({ ...common, tags: () => ["t"] }, (key) => f(key))
      const key = yield* memo.keyOf("a")
      const header = (...line: ReadonlyArray<unknown>) => `${JSON.stringify(line)}\n1`
      const corrupted = [
        "",
        "\n",
        "[]\n1",
        "null\n1",
        "{}\n1",
        header("s", 0, null),
        header("s", 0, null, 0, 0, "", 0, 7),
        header("x", 0, null, 0),
        header("s", 0, null, 0).slice(0, -1),
        `${header("s", 0, null, 0)}}`,
        `["s",1e999,1e999,1e999]\n"text"`,
        new Uint8Array([0xff, 0x0a, 0xff]),
        new TextEncoder().encode(header("s", 0, null, 0).slice(0, -1)),
        "x".repeat(1_000_000)
      ]
      for (const [i, value] of corrupted.entries()) {
        yield* keyspace.set(key, value)
        deepStrictEqual([i, yield* Effect.exit(memo("a"))], [i, Exit.succeed(i + 1)])
        deepStrictEqual([i, yield* memo("a")], [i, i + 1])
      }
    }))

  one("finds tags invalidated though their rows were corrupted", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const { f } = counting()
      const memo = yield* Memoize.make({ ...common, tags: () => ["t"] }, (key) => f(key))
      yield* Memoize.invalidateTag("t")
      const tags = yield* storage.keyspace("memo:tags")
      for (const key of yield* keysOf(tags)) yield* tags.set(key, "corrupted")
      yield* memo("a")
      yield* Memoize.invalidateTag("t")
      deepStrictEqual(yield* memo("a"), 2)
      deepStrictEqual(yield* memo("a"), 2)
    }))
})

class Double extends Schema.TaggedRequest<Double>()("Double", {
  failure: Schema.Never,
  payload: { of: Schema.Number },
  success: Schema.Number
}) {}

describe("a batch", () => {
  const doubling = Effect.gen(function*() {
    const batches: Array<ReadonlyArray<number>> = []
    const memo = yield* Memoize.request(
      { request: Double, timeToLive: "1 hour" },
      RequestResolver.makeBatched((requests: ReadonlyArray<Double>) =>
        Effect.suspend(() => {
          batches.push(requests.map(({ of }) => of))
          return Effect.zipRight(
            turns,
            Effect.forEach(requests, (request) => Request.succeed(request, request.of * 2), { discard: true })
          )
        })
      )
    )
    const ask = (all: ReadonlyArray<number>) =>
      Effect.forEach(all, (of) => Effect.request(new Double({ of }), memo), { batching: true })
    return { ask, batches, memo }
  })

  one("does not ask for what another batch is asking for", () =>
    Effect.gen(function*() {
      const { ask, batches } = yield* doubling
      deepStrictEqual(
        yield* Effect.all([ask([1, 2]), ask([2, 3])], { concurrency: "unbounded" }),
        [[2, 4], [4, 6]]
      )
      deepStrictEqual(batches.flat().sort(), [1, 2, 3])
    }))

  one("of very many is one, and all of it is stored", () =>
    Effect.gen(function*() {
      const { ask, batches } = yield* doubling
      const all = numbers(20_000)
      deepStrictEqual(yield* ask(all), all.map((of) => of * 2))
      deepStrictEqual(batches.length, 1)
      deepStrictEqual(yield* ask(all), all.map((of) => of * 2))
      deepStrictEqual(batches.length, 1)
    }), 60_000)
})

for (const engine of kinds) {
  describeOn(engine, "a memoised function in a transaction", () => {
    const on = <A, E>(name: string, body: () => Effect.Effect<A, E, Scope.Scope | Storage.Storage>) =>
      it.scopedLive(name, () => Effect.provide(body(), engine.layer))

    on("does not wait for callers outside, nor they for it", () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const keyspace = yield* storage.keyspace("other")
        const inside = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const memo = yield* Memoize.make(
          { ...common, lease: "1 minute", maxEntries: 10, tags: () => ["t"] },
          (key) => Effect.as(key === "slow" ? Deferred.await(go) : Effect.void, key.length)
        )
        const outside = yield* Effect.fork(Effect.all([memo("slow"), memo("a"), memo("a")], {
          concurrency: "unbounded"
        }))
        const within = yield* Effect.fork(storage.transaction(
          Effect.gen(function*() {
            yield* keyspace.set("mine", "1")
            yield* Deferred.succeed(inside, undefined)
            yield* engine.turns
            const answers = yield* Effect.all([memo("b"), memo("a")])
            yield* memo.invalidate("b")
            yield* Memoize.invalidateTag("t")
            yield* Deferred.succeed(go, undefined)
            return [...answers, yield* memo("slow")]
          }),
          { retry: true }
        ))
        yield* Deferred.await(inside)
        deepStrictEqual(yield* Fiber.join(within), [1, 1, 4])
        deepStrictEqual(yield* Fiber.join(outside), [4, 1, 1])
        deepStrictEqual(Option.isSome(yield* keyspace.get("mine")), true)
      }))

    on("never loses the transaction without a word", () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const keyspace = yield* storage.keyspace("other")
        const memo = yield* Memoize.make(common, (key) => Effect.succeed(key.length))
        const lost = yield* Effect.forEach(numbers(30), (i) =>
          Effect.all([
            Effect.exit(storage.transaction(Effect.gen(function*() {
              yield* keyspace.get(`mine ${i}`)
              yield* keyspace.set(`mine ${i}`, "1")
              yield* Effect.yieldNow()
              yield* memo(`${i}`)
            }))),
            memo.refresh(`${i}`),
            memo.refresh(`${i}`),
            memo.invalidate(`${i}`)
          ], { concurrency: "unbounded" }).pipe(
            Effect.flatMap(([exit]) =>
              Effect.map(keyspace.get(`mine ${i}`), (found) => Exit.isSuccess(exit) && Option.isNone(found))
            )
          ))
        deepStrictEqual(lost.filter((one) => one), [])
      }))

    on("has odd names, tags and arguments", () =>
      Effect.gen(function*() {
        const odd = ["", "\u0000", "\ud800", "a\nb", "%_", "tag ", "sequence", "x".repeat(1_000_000), "\u{10ffff}"]
        for (const text of odd) {
          const { asked, f } = counting()
          const memo = yield* Memoize.make(
            {
              ...common,
              maxEntries: 5,
              name: text.length > 100 ? "long" : `n ${text}`,
              onStorageFailure: "fail",
              tags: () => [text]
            },
            f
          )
          const told = yield* Effect.exit(Effect.gen(function*() {
            yield* memo(text)
            yield* memo(text)
            yield* Memoize.invalidateTag(text)
            return yield* memo(text)
          }))
          deepStrictEqual([text.slice(0, 20), told, asked.length], [text.slice(0, 20), Exit.succeed(2), 2])
        }
      }))
  })
}

describe("a stale answer", () => {
  one(
    "is answered by all while the function rests, also by those who waited for a lease",
    () =>
      Effect.gen(function*() {
        const options = { ...common, lease: "1 minute", staleIfError: "1 day", timeToLive: "1 minute" } as const
        let isFailing = false
        let calls = 0
        const f = (key: string) =>
          Effect.suspend(() => {
            calls++
            return isFailing
              ? Effect.zipRight(Effect.sleep("1 second"), Effect.fail("down"))
              : Effect.succeed(key.length)
          })
        const first = yield* Memoize.make(options, f)
        const second = yield* Memoize.make(options, f)
        yield* first("a")
        yield* TestClock.adjust("2 minutes")
        isFailing = true
        const asking = yield* Effect.fork(Effect.all([first("a"), second("a")], { concurrency: "unbounded" }))
        yield* Effect.repeatN(Effect.zipRight(turns, TestClock.adjust("100 millis")), 60)
        deepStrictEqual(yield* Fiber.join(asking), [1, 1])
        deepStrictEqual(calls, 2)
      })
  )
})
