/** Several processes whose memoised function is stored in one database. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Fiber, Queue, Redacted, Scope } from "effect"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { child, open, tempFile } from "./support.js"

interface Options {
  readonly bounds?: number
  readonly inMemory?: number
  readonly lease?: number
}

/** A process with the memoised function of fixtures/memo.ts; killed when the scope closes. */
const start = (where: string, options: Options = {}) =>
  Effect.gen(function*() {
    const { line, send } = yield* child("memo.ts", [where, JSON.stringify(options)])
    const computing = yield* Queue.unbounded<string>()
    const waiting = new Map<number, Deferred.Deferred<unknown>>()
    let asked = 0
    let calls = 0
    deepStrictEqual(yield* line, `["ready"]`)
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(line, (text) =>
      Effect.suspend(() => {
        const [id, answer]: readonly [unknown, unknown] = JSON.parse(text)
        if (id === "computing") {
          calls++
          return Effect.asVoid(Queue.offer(computing, String(answer)))
        }
        const asker = waiting.get(Number(id))
        return asker === undefined ? Effect.dieMessage(text) : Effect.asVoid(Deferred.succeed(asker, answer))
      }))))
    const ask = (name: string, arg = "") =>
      Effect.gen(function*() {
        const id = ++asked
        const answer = yield* Deferred.make<unknown>()
        waiting.set(id, answer)
        yield* send(JSON.stringify([id, name, arg]))
        return yield* Deferred.await(answer)
      })
    return {
      answer: (answer: string) => ask("answer", answer),
      ask,
      call: (key: string) => ask("call", key),
      calls: () => calls,
      /** The next argument that the function is called with. */
      computing: Queue.take(computing)
    }
  })

/** Longer than anybody looks at a lease again. */
const aWhile = Effect.sleep("1 second")

const suite = (where: Effect.Effect<string, unknown, Scope.Scope>) => {
  it.scopedLive("with a lease compute once", () =>
    Effect.gen(function*() {
      const database = yield* where
      const processes = yield* Effect.replicateEffect(start(database, { lease: 20_000 }), 3, {
        concurrency: "unbounded"
      })
      const calling = yield* Effect.fork(
        Effect.forEach(processes, ({ call }) => Effect.all([call("a"), call("a")], { concurrency: "unbounded" }), {
          concurrency: "unbounded"
        })
      )
      const winner = yield* Effect.raceAll(processes.map((one) => Effect.as(one.computing, one)))
      yield* aWhile
      yield* winner.answer("first")
      deepStrictEqual((yield* Fiber.join(calling)).flat(), Array.from({ length: 6 }, () => "first"))
      deepStrictEqual(processes.reduce((sum, { calls }) => sum + calls(), 0), 1)
    }), 60_000)

  it.scopedLive("with a lease compute once after one that held it was killed", () =>
    Effect.gen(function*() {
      const database = yield* where
      const lease = 3000
      const life = yield* Scope.make()
      const killed = yield* Scope.extend(start(database, { lease }), life)
      const processes = yield* Effect.replicateEffect(start(database, { lease }), 2, { concurrency: "unbounded" })
      yield* Effect.forkScoped(killed.call("a"))
      deepStrictEqual(yield* killed.computing, "a")
      // It renews the lease meanwhile.
      yield* Effect.sleep(lease * 1.5)
      const calling = yield* Effect.fork(
        Effect.forEach(processes, ({ call }) => call("a"), { concurrency: "unbounded" })
      )
      yield* aWhile
      deepStrictEqual(processes.map(({ calls }) => calls()), [0, 0])
      yield* Scope.close(life, yield* Effect.exit(Effect.void))
      const winner = yield* Effect.raceAll(processes.map((one) => Effect.as(one.computing, one)))
      yield* winner.answer("second")
      deepStrictEqual(yield* Fiber.join(calling), ["second", "second"])
      deepStrictEqual(processes.reduce((sum, { calls }) => sum + calls(), 0), 1)
    }), 60_000)

  it.scopedLive(
    "with a lease do not store what one computed while another one invalidated it, and store the next",
    () =>
      Effect.gen(function*() {
        const database = yield* where
        const first = yield* start(database, { lease: 20_000 })
        const second = yield* start(database, { lease: 20_000 })
        const third = yield* start(database, { lease: 20_000 })
        const before = yield* Effect.fork(first.call("a"))
        yield* first.computing
        const after = yield* Effect.fork(second.call("a"))
        yield* aWhile
        deepStrictEqual(yield* third.ask("invalidate", "a"), false)
        yield* first.answer("before")
        deepStrictEqual(yield* Fiber.join(before), "before")
        yield* second.computing
        yield* second.answer("after")
        deepStrictEqual(yield* Fiber.join(after), "after")
        deepStrictEqual(yield* third.ask("peek", "a"), "after")
      }),
    60_000
  )

  it.scopedLive("without a lease compute each, and then agree", () =>
    Effect.gen(function*() {
      const database = yield* where
      const [first, second] = [yield* start(database), yield* start(database)]
      const calling = yield* Effect.fork(
        Effect.all([first.call("a"), second.call("a")], { concurrency: "unbounded" })
      )
      yield* first.computing
      yield* second.computing
      yield* first.answer("first")
      yield* second.answer("second")
      deepStrictEqual(yield* Fiber.join(calling), ["first", "second"])
      const agreed = yield* first.call("a")
      assert.include(["first", "second"], agreed)
      deepStrictEqual(yield* second.call("a"), agreed)
      deepStrictEqual([first.calls(), second.calls()], [1, 1])
    }), 60_000)

  it.scopedLive("see what another one invalidates, also by tag", () =>
    Effect.gen(function*() {
      const database = yield* where
      const [first, second] = [yield* start(database), yield* start(database)]
      for (const [i, invalidation] of ["invalidate", "invalidateTag"].entries()) {
        yield* first.answer(`before ${i}`)
        deepStrictEqual(yield* first.call(`${i}`), `before ${i}`)
        deepStrictEqual(yield* second.call(`${i}`), `before ${i}`)
        yield* second.ask(invalidation, `${i}`)
        deepStrictEqual(yield* first.ask("peek", `${i}`), null)
        yield* first.answer(`after ${i}`)
        deepStrictEqual(yield* first.call(`${i}`), `after ${i}`)
        deepStrictEqual(yield* second.call(`${i}`), `after ${i}`)
      }
      deepStrictEqual([first.calls(), second.calls()], [4, 0])
    }), 60_000)

  it.scopedLive(
    "see what another one invalidates also through their memory, when that is old",
    () =>
      Effect.gen(function*() {
        const database = yield* where
        const maxAge = 2000
        const first = yield* start(database, { inMemory: maxAge })
        const second = yield* start(database, { inMemory: maxAge })
        for (const [i, invalidation] of ["invalidate", "invalidateTag"].entries()) {
          yield* first.answer(`before ${i}`)
          deepStrictEqual(yield* first.call(`${i}`), `before ${i}`)
          yield* second.ask(invalidation, `${i}`)
          yield* Effect.sleep(maxAge)
          yield* first.answer(`after ${i}`)
          deepStrictEqual(yield* first.call(`${i}`), `after ${i}`)
        }
      }),
    60_000
  )

  for (const invalidation of ["invalidate", "invalidateTag"]) {
    it.scopedLive(`do not store what one computed during ${invalidation} in another one`, () =>
      Effect.gen(function*() {
        const database = yield* where
        const [first, second] = [yield* start(database), yield* start(database)]
        const calling = yield* Effect.fork(first.call("a"))
        yield* first.computing
        yield* second.ask(invalidation, "a")
        yield* first.answer("before")
        deepStrictEqual(yield* Fiber.join(calling), "before")
        deepStrictEqual(yield* first.ask("peek", "a"), null)
        yield* second.answer("after")
        deepStrictEqual(yield* second.call("a"), "after")
        deepStrictEqual(yield* first.call("a"), "after")
      }), 60_000)

    it.scopedLive(
      `do not store what one computed during ${invalidation} in place of what was computed since`,
      () =>
        Effect.gen(function*() {
          const database = yield* where
          const [first, second] = [yield* start(database), yield* start(database)]
          const calling = yield* Effect.fork(first.call("a"))
          yield* first.computing
          yield* second.ask(invalidation, "a")
          yield* second.answer("after")
          deepStrictEqual(yield* second.call("a"), "after")
          yield* first.answer("before")
          deepStrictEqual(yield* Fiber.join(calling), "before")
          deepStrictEqual(yield* second.ask("peek", "a"), "after")
        }),
      60_000
    )
  }

  it.scopedLive("keep within a bound what they store at once", () =>
    Effect.gen(function*() {
      const database = yield* where
      const processes = yield* Effect.replicateEffect(start(database, { bounds: 20 }), 3, { concurrency: "unbounded" })
      yield* Effect.forEach(processes, ({ ask }, i) => ask("many", `${i}`), { concurrency: "unbounded" })
      // Each counts anew when it has not for a while.
      yield* Effect.sleep("1500 millis")
      for (const [i, { answer, call }] of processes.entries()) {
        yield* answer("last")
        deepStrictEqual(yield* call(`last ${i}`), "last")
      }
      const kept = yield* Effect.forEach(
        processes.flatMap((_, i) => [`last ${i}`, ...Array.from({ length: 50 }, (_, n) => `${i} ${n}`)]),
        (key) => processes[0]!.ask("peek", key)
      )
      assert.isAtMost(kept.filter((found) => found !== null).length, 23)
      deepStrictEqual(yield* processes[0]!.call("last 2"), "last")
    }), 60_000)
}

describe("processes on one SQLite file", () => {
  suite(Effect.gen(function*() {
    const filename = yield* tempFile
    yield* Effect.scoped(open({ filename }))
    return filename
  }))
})

describeUnless(unavailable, "processes on one PostgreSQL database", () => {
  suite(Effect.map(freshSchema, ({ url }) => Redacted.value(url)))
})
