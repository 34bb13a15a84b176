import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, Schedule } from "effect"
import type { Sqlite } from "effect-kv"
import { StorageError } from "effect-kv"
import * as fs from "node:fs"
import { child, keysOf, open, tempFile } from "./support.js"

const store = (options: Sqlite.Options) =>
  Effect.gen(function*() {
    const { sql, storage } = yield* open(options)
    yield* sql`CREATE TABLE IF NOT EXISTS log (message TEXT)`
    return { keyspace: yield* storage.keyspace("settings"), sql, storage }
  })

/** Another process that holds a lock until it is told to let go. */
const holder = (filename: string, lock: "IMMEDIATE" | "READ") =>
  Effect.tap(
    child("hold.ts", [filename, lock]),
    ({ line }) => Effect.map(line, (line) => assert.strictEqual(line, "held"))
  )

/** How often the event loop came round while the effect ran, and the longest time it did not. */
const ticking = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const ticks = { count: 0, longest: 0 }
      let last = performance.now()
      const timer = setInterval(() => {
        const now = performance.now()
        ticks.count++
        ticks.longest = Math.max(ticks.longest, now - last)
        last = now
      }, 10)
      return { ticks, timer }
    }),
    ({ ticks }) => Effect.map(effect, (result) => ({ result, ticks })),
    ({ timer }) => Effect.sync(() => clearInterval(timer))
  )

const reasonOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => error instanceof StorageError.StorageError ? error.reason : error)

describe("a write lock that another process holds", () => {
  it.scopedLive("keeps writers waiting, and neither the event loop nor readers, and then they write", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const { keyspace, sql, storage } = yield* store({ filename, lockTimeout: "20 seconds" })
      yield* keyspace.set("theme", "dark")
      const other = yield* holder(filename, "IMMEDIATE")
      const { result: writing, ticks } = yield* ticking(Effect.gen(function*() {
        const writing = yield* Effect.fork(Effect.all([
          keyspace.set("a", "x"),
          keyspace.setMany([{ expiresAt: undefined, key: "b", value: "x" }]),
          storage.transaction(Effect.zipRight(sql`INSERT INTO log (message) VALUES ('c')`, keyspace.set("c", "x"))),
          sql`INSERT INTO log (message) VALUES ('d')`
        ], { concurrency: "unbounded" }))
        const reads = yield* Effect.repeat(
          keyspace.get("theme").pipe(Effect.zipLeft(Effect.sleep("50 millis"))),
          Schedule.recurs(19)
        )
        assert.strictEqual(reads, 19)
        yield* Effect.sleep("2 seconds")
        // The lock is still held: nobody could have written.
        assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
        yield* other.send("release")
        assert.strictEqual(yield* other.line, "released")
        return writing
      }))
      // Ten milliseconds each, for three seconds.
      assert.isAbove(ticks.count, 30)
      assert.isBelow(ticks.longest, 1000)
      yield* Fiber.join(writing)
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b", "c", "theme"])
      assert.lengthOf(yield* sql`SELECT message FROM log`, 2)
    }))

  it.scopedLive("fails writers as Busy after lockTimeout, and they can try again when it is gone", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const { keyspace, sql, storage } = yield* store({ filename, lockTimeout: "500 millis" })
      yield* keyspace.set("theme", "dark")
      const other = yield* holder(filename, "IMMEDIATE")
      const { result: reasons } = yield* ticking(Effect.all({
        modify: reasonOf(keyspace.modify("a", () => [undefined, { _tag: "Put", expiresAt: undefined, value: "x" }])),
        newKeyspace: reasonOf(storage.keyspace("other")),
        set: reasonOf(keyspace.set("a", "x")),
        transaction: reasonOf(storage.transaction(keyspace.set("a", "x")))
      }))
      deepStrictEqual(reasons, { modify: "Busy", newKeyspace: "Busy", set: "Busy", transaction: "Busy" })
      assert.strictEqual((yield* Effect.flip(sql`INSERT INTO log (message) VALUES ('a')`))._tag, "SqlError")
      yield* other.send("release")
      assert.strictEqual(yield* other.line, "released")
      yield* keyspace.set("b", "x")
      yield* sql`INSERT INTO log (message) VALUES ('b')`
      yield* Effect.flatMap(storage.keyspace("other"), (other) => other.set("b", "x"))
      yield* storage.transaction(keyspace.set("c", "x"))
      deepStrictEqual(yield* keysOf(keyspace), ["b", "c", "theme"])
    }))

  it.scopedLive("does not keep a writer that is interrupted", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const { keyspace, storage } = yield* store({ filename, lockTimeout: "20 seconds" })
      const other = yield* holder(filename, "IMMEDIATE")
      for (const write of [keyspace.set("a", "x"), storage.transaction(keyspace.set("a", "x"))]) {
        const writing = yield* Effect.fork(write)
        yield* Effect.sleep("30 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
        const { result } = yield* ticking(Effect.timeoutOption(Fiber.interrupt(writing), "5 seconds"))
        assert.isTrue(Option.isSome(result))
      }
      yield* other.send("release")
      assert.strictEqual(yield* other.line, "released")
      yield* keyspace.set("b", "x")
      deepStrictEqual(yield* keysOf(keyspace), ["b"])
    }))

  it.scopedLive("a reader that keeps a commit waiting, without WAL, blocks no event loop either", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const { keyspace, storage } = yield* store({ filename, journalMode: "DELETE", lockTimeout: "20 seconds" })
      const other = yield* holder(filename, "READ")
      const { result: writing, ticks } = yield* ticking(Effect.gen(function*() {
        const writing = yield* Effect.fork(Effect.all([
          storage.transaction(keyspace.set("a", "x")),
          keyspace.set("b", "x")
        ]))
        yield* Effect.sleep("300 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
        yield* other.send("release")
        assert.strictEqual(yield* other.line, "released")
        return writing
      }))
      assert.isAbove(ticks.count, 3)
      yield* Fiber.join(writing)
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b"])
    }))
})

describe("many processes", () => {
  it.scopedLive(
    "ten that start at once on a missing file open the same keyspaces and lose no update",
    () =>
      Effect.gen(function*() {
        const filename = yield* tempFile
        const processes = yield* Effect.forEach(
          Array.from({ length: 10 }, (_, i) => i),
          () => child("increment.ts", [filename, "50"]),
          { concurrency: "unbounded" }
        )
        for (const { line } of processes) assert.strictEqual(yield* line, "ready")
        assert.isFalse(fs.existsSync(filename))
        for (const { send } of processes) yield* send("go")
        const results = yield* Effect.forEach(processes, ({ line }) => line)
        deepStrictEqual(results, Array.from(results, () => "done"))
        const { storage } = yield* open({ filename })
        for (const name of ["first", "second"]) {
          const keyspace = yield* storage.keyspace(name)
          assert.strictEqual(Option.getOrThrow(yield* keyspace.get("counter")).value, "500")
        }
      }),
    60_000
  )
})
