/** Fibers that write and never pause. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { open, tempFile } from "./support.js"

/** Runs the writes for ever, at once, until one of them was done so often; tells how often each was. */
const raceTo = (times: number, writes: Record<string, Effect.Effect<unknown, unknown>>) =>
  Effect.gen(function*() {
    const counts: Record<string, number> = {}
    const reached = yield* Deferred.make<void>()
    const writers = Object.entries(writes).map(([name, write]) => {
      counts[name] = 0
      return Effect.iterate(0, {
        body: (count) => Effect.as(write, counts[name] = count + 1),
        while: (count) => count < times
      }).pipe(Effect.zipRight(Deferred.succeed(reached, undefined)))
    })
    const racing = yield* Effect.fork(Effect.all(writers, { concurrency: "unbounded" }))
    yield* Effect.raceFirst(Deferred.await(reached), Fiber.join(racing))
    const found = { ...counts }
    yield* Fiber.interrupt(racing)
    return found
  })

/** How often the event loop came round meanwhile. */
const turning = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const turns = { count: 0, ended: false }
      const next = () => {
        turns.count++
        if (!turns.ended) setImmediate(next)
      }
      setImmediate(next)
      return turns
    }),
    (turns) => Effect.map(effect, (result) => ({ result, turns: turns.count })),
    (turns) =>
      Effect.sync(() => {
        turns.ended = true
      })
  )

describe("fibers that write without a pause", () => {
  // Queued writes let the event loop have its turn; it must not be the transactions that use that time.
  it.scopedLive("all get their turn, beside transactions", () =>
    Effect.gen(function*() {
      const { storage } = yield* open({ filename: yield* tempFile })
      const keyspace = yield* storage.keyspace("test")
      const sets = ["set 0", "set 1", "set 2"]
      const counts = yield* raceTo(
        1000,
        Object.fromEntries([
          ...sets.map((name) => [name, keyspace.set(name, "x")] as const),
          ...["transaction 0", "transaction 1"].map((name) =>
            [name, storage.transaction(keyspace.set(name, "x"))] as const
          )
        ])
      )
      for (const name of sets) assert.isAbove(counts[name]!, 50, JSON.stringify(counts))
    }))

  // After 5 ms of writing the event loop has its turn, and 20,000 writes take much more than sixty times as long.
  it.scopedLive("leave the event loop its turns", () =>
    Effect.gen(function*() {
      const { storage } = yield* open({ filename: yield* tempFile })
      const keyspace = yield* storage.keyspace("test")
      const { turns } = yield* turning(raceTo(
        7000,
        Object.fromEntries(["a", "b", "c"].map((name) => [name, keyspace.set(name, "x")]))
      ))
      assert.isAbove(turns, 60)
    }))
})
