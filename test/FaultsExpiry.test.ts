/** Expired entries that are removed while their keys are used. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Utils } from "effect"
import { Storage } from "effect-kv"
import { describeOn, engines, memory, sqliteFile } from "./engines.js"
import { child, open, tempFile } from "./support.js"

/** Other fibers run. */
const yields = (times: number) => times === 0 ? Effect.void : Effect.repeatN(Effect.yieldNow(), times - 1)

/** The ways to write a value where an expired one is. */
const ways = (keyspace: Storage.Keyspace) => [
  (value: string, expiresAt?: number) => keyspace.set("key", value, expiresAt),
  (value: string, expiresAt?: number) => keyspace.setMany([{ expiresAt, key: "key", value }]),
  // An expired entry is absent.
  (value: string, expiresAt?: number) =>
    keyspace.modify("key", (entry) => [undefined, Option.isNone(entry) ? Storage.put(value, expiresAt) : Storage.keep])
]

const later = 4e12

for (const engine of engines) {
  describeOn(engine, "a fresh value that is set while the expired one is removed", () => {
    const rounds = engine === sqliteFile || engine === memory ? 10_000 : 2000
    it.scopedLive(
      "is never lost, in one process",
      () =>
        Effect.gen(function*() {
          const random = new Utils.PCGRandom(6)
          const storage = Context.get(yield* Layer.build(engine.layer), Storage.Storage)
          const keyspace = yield* storage.keyspace("test")
          const writes = ways(keyspace)
          let removed = 0
          for (let round = 0; round < rounds; round++) {
            // Gone in this very millisecond.
            yield* keyspace.set("key", "stale", Date.now())
            const write = writes[round % writes.length]!
            const [gone] = yield* Effect.all([
              Effect.zipRight(yields(random.integer(3)), keyspace.removeExpired({ limit: 10 })),
              Effect.zipRight(yields(random.integer(3)), write(`fresh ${round}`, round % 2 === 0 ? later : undefined)),
              // Has the others share a transaction now and then.
              ...(round % 5 === 0 ? [keyspace.set("other", "x")] : [])
            ], { concurrency: "unbounded" })
            removed += gone.removed
            const found = Option.getOrUndefined(yield* keyspace.get("key"))
            assert.strictEqual(found?.value, `fresh ${round}`, `round ${round}`)
          }
          // Both orders were seen.
          assert.isAbove(removed, rounds / 20)
          assert.isBelow(removed, rounds - rounds / 20)
        }),
      120_000
    )
  })
}

describe("a fresh value that is set while the expired one is removed", () => {
  it.scopedLive(
    "is never lost, with two processes on one file",
    () =>
      Effect.gen(function*() {
        const rounds = 3000
        const random = new Utils.PCGRandom(7)
        const filename = yield* tempFile
        const { storage } = yield* open({ filename, lockTimeout: "20 seconds" })
        const keyspace = yield* storage.keyspace("test")
        const writes = ways(keyspace)
        const sweeper = yield* child("sweep.ts", [filename])
        assert.strictEqual(yield* sweeper.line, "ready")
        for (let round = 0; round < rounds; round++) {
          yield* keyspace.set("key", "stale", Date.now())
          // The other process gets some time, often too little.
          const until = performance.now() + random.number()
          while (performance.now() < until) yield* Effect.yieldNow()
          yield* writes[round % writes.length]!(`fresh ${round}`, round % 2 === 0 ? later : undefined)
          const found = Option.getOrUndefined(yield* keyspace.get("key"))
          assert.strictEqual(found?.value, `fresh ${round}`, `round ${round}`)
        }
        yield* sweeper.send("stop")
        const [, removed] = /^removed (\d+)$/.exec(yield* sweeper.line) ?? []
        // Otherwise nobody raced.
        assert.isAbove(Number(removed), 0)
        assert.strictEqual(
          Option.getOrUndefined(yield* keyspace.get("key"))?.value,
          `fresh ${rounds - 1}`
        )
        console.log(`${rounds} rounds with two processes, of which the other removed the entry in ${removed}`)
      }),
    120_000
  )
})
