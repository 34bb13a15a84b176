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
      computing: Queue.take(computing),
      computingAll: computing
    }
  })

/** Longer than anybody looks at a lease again. */
const aWhile = Effect.sleep("600 millis")

type Process = Effect.Effect.Success<ReturnType<typeof start>>

const callsOf = (processes: ReadonlyArray<Process>) => processes.reduce((sum, { calls }) => sum + calls(), 0)

/** The first one that computes. */
const winnerOf = (processes: ReadonlyArray<Process>) =>
  Effect.raceAll(processes.map((one) => Effect.as(one.computing, one)))

// To start a process costs more than all that it does here, so several tests share theirs, with a key each.
const suite = (where: Effect.Effect<string, unknown, Scope.Scope>) => {
  it.scopedLive(
    "with a lease compute once; also after one was killed, or another one invalidated it",
    () =>
      Effect.gen(function*() {
        const database = yield* where
        const lease = 1500
        const life = yield* Scope.make()
        const killed = yield* Scope.extend(start(database, { lease }), life)
        const processes = yield* Effect.replicateEffect(start(database, { lease }), 3, { concurrency: "unbounded" })
        const [first, second, third] = [processes[0]!, processes[1]!, processes[2]!]

        const callingAll = (key: string) =>
          Effect.fork(Effect.forEach(processes, ({ call }) => Effect.all([call(key), call(key)], { concurrency: 2 }), {
            concurrency: "unbounded"
          }))
        const once = yield* callingAll("once")
        const winner = yield* winnerOf(processes)
        yield* aWhile
        yield* winner.answer("first")
        deepStrictEqual((yield* Fiber.join(once)).flat(), Array.from({ length: 6 }, () => "first"))
        deepStrictEqual(callsOf(processes), 1)

        yield* Effect.forkScoped(killed.call("killed"))
        deepStrictEqual(yield* killed.computing, "killed")
        // It renews the lease meanwhile.
        yield* Effect.sleep(lease * 1.5)
        const afterwards = yield* callingAll("killed")
        yield* aWhile
        deepStrictEqual(callsOf(processes), 1)
        yield* Scope.close(life, yield* Effect.exit(Effect.void))
        const heir = yield* winnerOf(processes)
        yield* heir.answer("second")
        deepStrictEqual((yield* Fiber.join(afterwards)).flat(), Array.from({ length: 6 }, () => "second"))
        deepStrictEqual(callsOf(processes), 2)

        const before = yield* Effect.fork(first.call("invalidated"))
        yield* first.computing
        const after = yield* Effect.fork(second.call("invalidated"))
        yield* aWhile
        deepStrictEqual(yield* third.ask("invalidate", "invalidated"), false)
        yield* first.answer("before")
        deepStrictEqual(yield* Fiber.join(before), "before")
        yield* second.computing
        yield* second.answer("after")
        deepStrictEqual(yield* Fiber.join(after), "after")
        deepStrictEqual(yield* third.ask("peek", "invalidated"), "after")
      }),
    60_000
  )

  it.scopedLive(
    "without a lease compute each, and then agree; see what another one invalidates, and do not undo it",
    () =>
      Effect.gen(function*() {
        const database = yield* where
        const [first, second] = yield* Effect.all([start(database), start(database)], { concurrency: 2 })

        const calling = yield* Effect.fork(Effect.all([first.call("each"), second.call("each")], { concurrency: 2 }))
        yield* first.computing
        yield* second.computing
        yield* first.answer("first")
        yield* second.answer("second")
        deepStrictEqual(yield* Fiber.join(calling), ["first", "second"])
        const agreed = yield* first.call("each")
        assert.include(["first", "second"], agreed)
        deepStrictEqual(yield* second.call("each"), agreed)
        deepStrictEqual([first.calls(), second.calls()], [1, 1])

        for (const invalidation of ["invalidate", "invalidateTag"]) {
          const seen = `${invalidation}, seen`
          yield* first.answer("before")
          deepStrictEqual(yield* first.call(seen), "before")
          deepStrictEqual(yield* second.call(seen), "before")
          yield* second.ask(invalidation, seen)
          deepStrictEqual(yield* first.ask("peek", seen), null)
          yield* first.answer("after")
          deepStrictEqual(yield* first.call(seen), "after")
          deepStrictEqual(yield* second.call(seen), "after")

          // What was computed meanwhile is not stored ...
          const meanwhile = `${invalidation}, meanwhile`
          while ((yield* Queue.size(first.computingAll)) > 0) yield* first.computing
          const slow = yield* Effect.fork(first.call(meanwhile))
          yield* first.computing
          yield* second.ask(invalidation, meanwhile)
          yield* first.answer("before")
          deepStrictEqual(yield* Fiber.join(slow), "before")
          deepStrictEqual(yield* first.ask("peek", meanwhile), null)

          // ... and not in place of what was computed since.
          const since = `${invalidation}, since`
          const slower = yield* Effect.fork(first.call(since))
          yield* first.computing
          yield* second.ask(invalidation, since)
          yield* second.answer("after")
          deepStrictEqual(yield* second.call(since), "after")
          yield* first.answer("before")
          deepStrictEqual(yield* Fiber.join(slower), "before")
          deepStrictEqual(yield* second.ask("peek", since), "after")
        }
      }),
    60_000
  )

  it.scopedLive(
    "see what another one invalidates also through their memory, when that is old",
    () =>
      Effect.gen(function*() {
        const database = yield* where
        const maxAge = 700
        const [first, second] = yield* Effect.all(
          [start(database, { inMemory: maxAge }), start(database, { inMemory: maxAge })],
          { concurrency: 2 }
        )
        for (const invalidation of ["invalidate", "invalidateTag"]) {
          yield* first.answer("before")
          deepStrictEqual(yield* first.call(invalidation), "before")
          yield* second.ask(invalidation, invalidation)
          yield* Effect.sleep(maxAge)
          yield* first.answer("after")
          deepStrictEqual(yield* first.call(invalidation), "after")
        }
      }),
    60_000
  )

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
