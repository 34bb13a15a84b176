/** Expired entries that are removed while their keys are used. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Fiber, Layer, Option, Utils } from "effect"
import { Storage } from "effect-kv"
import * as fs from "node:fs"
import { describeOn, engines, postgres } from "./engines.js"
import { child, keysOf, open, tempFile } from "./support.js"

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
    const rounds = engine === postgres ? 2000 : 10_000
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

describe("300,000 expired entries", () => {
  // A checkpoint empties the WAL whenever it reaches 1,000 pages, which is 4 MB, and the largest transaction here, a
  // load of 10,000 rows, comes on top. If it ever was not emptied, the sweep alone would write well over 100 MB.
  const walLimit = 32 * 1024 * 1024

  it.scopedLive(
    "are swept while others read, which are right all the time, and the WAL stays small",
    () =>
      Effect.gen(function*() {
        const filename = yield* tempFile
        const { sql, storage } = yield* open({ filename })
        const keyspace = yield* storage.keyspace("test")
        const total = 300_000
        const batch = 10_000
        const live = 1000
        const past = Date.now() - 1000
        for (let at = 0; at < total; at += batch) {
          yield* keyspace.setMany(Array.from({ length: batch }, (_, i) => ({
            expiresAt: past + (at + i) % 500,
            key: `expired ${at + i}`,
            value: "x".repeat(60)
          })))
        }
        yield* keyspace.setMany(Array.from({ length: live }, (_, i) => ({
          expiresAt: i % 2 === 0 ? later : undefined,
          key: `live ${i}`,
          value: `value ${i}`
        })))
        const walSize = () => fs.statSync(`${filename}-wal`).size
        const walLoaded = walSize()

        const random = new Utils.PCGRandom(7)
        const times: Array<number> = []
        let walMost = walLoaded
        const sweeping = yield* Effect.fork(storage.maintenance.compact)
        while (Option.isNone(yield* Fiber.poll(sweeping))) {
          const i = random.integer(live)
          const absent = random.integer(4) === 0
          const start = performance.now()
          const found = yield* keyspace.get(absent ? `expired ${random.integer(total)}` : `live ${i}`)
          times.push(performance.now() - start)
          assert.strictEqual(Option.getOrUndefined(found)?.value, absent ? undefined : `value ${i}`)
          walMost = Math.max(walMost, walSize())
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        assert.strictEqual(yield* Fiber.join(sweeping), total)
        walMost = Math.max(walMost, walSize())
        times.sort((a, b) => a - b)
        const millis = (time: number | undefined) => `${(time ?? NaN).toFixed(2)} ms`
        console.log(
          `${times.length} gets during the sweep: 99th percentile ${
            millis(times[Math.floor(times.length * 0.99)])
          }, longest ${millis(times.at(-1))}; WAL at most ${(walMost / 1024 / 1024).toFixed(1)} MB`
        )
        assert.isAbove(times.length, 100)
        assert.isBelow(walMost, walLimit)

        assert.strictEqual((yield* keyspace.removeExpired({ limit: 1 })).removed, 0)
        assert.lengthOf(yield* keysOf(keyspace), live)
        const [table] = yield* sql<{ readonly name: string }>`
          SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'kv_1_%'`
        deepStrictEqual(yield* sql`SELECT count(*) AS rows FROM ${sql(table!.name)}`, [{ rows: live }])
        // The room was given back.
        deepStrictEqual(yield* sql`PRAGMA freelist_count`, [{ freelist_count: 0 }])
      }),
    120_000
  )
})
