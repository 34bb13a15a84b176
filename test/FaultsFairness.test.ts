/** Fibers that write and never pause. */
import { assert, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber, ManagedRuntime } from "effect"
import { Storage } from "effect-kv"
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

describe("timers that a test puts in place of the real ones", () => {
  const use = Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const keyspace = yield* storage.keyspace("test")
    yield* keyspace.set("a", "x", 1)
    return yield* storage.maintenance.compact
  }).pipe(Effect.provide(Storage.layerMemory))

  it("do not matter, neither then nor afterwards", async () => {
    vi.useFakeTimers()
    assert.strictEqual(await Effect.runPromise(use), 1)
    vi.useRealTimers()
    const start = performance.now()
    while (performance.now() - start < 30) assert.strictEqual(await Effect.runPromise(use), 1)
  })
})

describe("fibers that write without a pause", () => {
  // Queued writes let the event loop have its turn; it must not be the transactions that use that time. Shares are uneven.
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
      for (const name of sets) assert.isAbove(counts[name]!, 5, JSON.stringify(counts))
    }))

  // It is due after 5 ms of work. Counted against the time that the work took: Effect alone gives a turn every 300 ms.
  it.scopedLive("leave the event loop its turns", () =>
    Effect.gen(function*() {
      const { storage } = yield* open({ filename: yield* tempFile })
      const keyspace = yield* storage.keyspace("test")
      const start = performance.now()
      const { turns } = yield* turning(raceTo(
        7000,
        Object.fromEntries(["a", "b", "c"].map((name) => [name, keyspace.set(name, "x")]))
      ))
      assert.isAbove(turns, (performance.now() - start) / 60)
    }))

  it.scopedLive("leave it its turns also one by one, reading or in a transaction, and need none where none can be had", () =>
    Effect.gen(function*() {
      const { storage } = yield* open({ filename: yield* tempFile })
      const keyspace = yield* storage.keyspace("test")
      yield* keyspace.set("a", "x")
      const works = [keyspace.set("a", "x"), keyspace.get("a"), storage.transaction(keyspace.get("a"))]
      for (const work of [...works, storage.transaction(Effect.repeatN(keyspace.set("a", "x"), 1000))]) {
        const start = performance.now()
        const { turns } = yield* turning(Effect.repeat(work, { until: () => performance.now() - start > 300 }))
        assert.isAbove(turns, 5)
      }
      const start = performance.now()
      while (performance.now() - start < 50) for (const work of works) Effect.runSync(work)
    }))

  // Its fibers have the scheduler of the `runSync` that built its layers.
  it.live("leave it its turns in a ManagedRuntime", () =>
    Effect.promise(async () => {
      const runtime = ManagedRuntime.make(Storage.layerMemory)
      const turns = await runtime.runPromise(Effect.gen(function*() {
        const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))
        const start = performance.now()
        const { turns } = yield* turning(
          Effect.repeat(keyspace.get("a"), { until: () => performance.now() - start > 300 })
        )
        return turns
      }))
      await runtime.dispose()
      assert.isAbove(turns, 5)
    }))
})
