/** Very many expired entries that are swept while others work. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, Utils } from "effect"
import * as fs from "node:fs"
import { keysOf, open, tempFile } from "./support.js"

const later = 4e12

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
