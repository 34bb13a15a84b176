/**
 * effect-kv against the raw driver (better-sqlite3, prepared statements), same pragmas, same values, one run.
 *
 *     npm run bench
 */
import Database from "better-sqlite3"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
import { Codec, KeyValueStore, Sqlite, Storage } from "effect-kv"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { measure, print, type Result, type Row } from "./harness.js"

const folder = mkdtempSync(path.join(os.tmpdir(), "effect-kv-bench-"))

const count = 10_000
const keys = Array.from({ length: count }, (_, i) => `key:${String((i * 7919) % count).padStart(8, "0")}`)
const thousand = keys.slice(0, 1000)

/** Every value is new: rewriting what is there already is not what a store does. */
let fresh = 0
const text = () => `${fresh++}:`.padEnd(200, "x")
const bytes = () => Buffer.from(text())

const Struct = Schema.Struct({ id: Schema.Number, name: Schema.String, tags: Schema.Array(Schema.String) })
const struct = () => ({ id: fresh++, name: "a small value", tags: ["one", "two"] })

class Texts extends KeyValueStore.Tag<Texts>()("Texts", { keyspace: "texts", value: Codec.text }) {}
class Bytes extends KeyValueStore.Tag<Bytes>()("Bytes", { keyspace: "bytes", value: Codec.bytes }) {}
class Structs extends KeyValueStore.Tag<Structs>()("Structs", { keyspace: "structs", value: Struct }) {}
class Many extends KeyValueStore.Tag<Many>()("Many", { keyspace: "many", value: Codec.text }) {}

const openRaw = (name: string, synchronous: "NORMAL" | "FULL") => {
  const db = new Database(path.join(folder, name))
  db.pragma("auto_vacuum = INCREMENTAL")
  db.pragma("journal_mode = WAL")
  db.pragma(`synchronous = ${synchronous}`)
  const table = (name: string) => {
    db.exec(`CREATE TABLE ${name} (key TEXT NOT NULL PRIMARY KEY, expires_at INTEGER, value ANY NOT NULL) STRICT`)
    return {
      get: db.prepare<[string, number], { readonly value: string }>(
        `SELECT value FROM ${name} WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)`
      ),
      scan: db.prepare<[number], { readonly key: string; readonly value: string }>(
        `SELECT key, value FROM ${name} WHERE expires_at IS NULL OR expires_at > ? ORDER BY key`
      ),
      set: db.prepare<[string, null, string | Buffer]>(
        `INSERT INTO ${name} (key, expires_at, value) VALUES (?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value`
      )
    }
  }
  return { db, table }
}

const loop = <A, E>(items: ReadonlyArray<string>, f: (key: string) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    for (const item of items) yield* f(item)
  })

/** A fiber each. `Effect.forEach` with unbounded concurrency alone costs more than a write does. */
const concurrently = <A, E>(items: ReadonlyArray<string>, f: (key: string) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fibers: Array<Fiber.RuntimeFiber<A, E>> = []
    for (const item of items) fibers.push(yield* Effect.fork(f(item)))
    for (const fiber of fibers) yield* Fiber.join(fiber)
  })

const normal = Effect.gen(function*() {
  const raw = openRaw("raw.db", "NORMAL")
  const rawTexts = raw.table("texts")
  const rawBytes = raw.table("bytes")
  const rawMany = raw.table("many")
  const texts = yield* Texts
  const bytesStore = yield* Bytes
  const structs = yield* Structs
  const many = yield* Many

  // Both databases hold the same before anything is measured.
  for (const key of keys) {
    rawTexts.set.run(key, null, text())
    rawBytes.set.run(key, null, bytes())
  }
  yield* texts.setMany(keys.map((key) => [key, text()]))
  yield* bytesStore.setMany(keys.map((key) => [key, bytes()]))
  yield* structs.setMany(keys.map((key) => [key, struct()]))
  const scanned = Array.from({ length: 100_000 }, (_, i) => [`key:${String(i).padStart(8, "0")}`, text()] as const)
  raw.db.transaction(() => {
    for (const [key, value] of scanned) rawMany.set.run(key, null, value)
  })()
  yield* many.setMany(scanned)

  const rawGets = () => {
    for (const key of keys) void rawTexts.get.get(key, Date.now())?.value
  }
  const rows: ReadonlyArray<Row> = [
    { name: "get, text", operations: count, ours: loop(keys, texts.get), raw: rawGets, target: 2.5 },
    { name: "get, small struct as JSON", operations: count, ours: loop(keys, structs.get), raw: rawGets, target: 3.5 },
    {
      name: "set, text",
      operations: count,
      ours: loop(keys, (key) => texts.set(key, text())),
      raw: () => {
        for (const key of keys) rawTexts.set.run(key, null, text())
      },
      target: 1.6
    },
    {
      name: "getMany of 1,000 / loop of get",
      operations: 1000,
      ours: Effect.suspend(() => texts.getMany(thousand)),
      raw: () => {
        for (const key of thousand) void rawTexts.get.get(key, Date.now())?.value
      },
      rounds: 51,
      target: 0.6
    },
    {
      name: "setMany of 1,000, text / loop in a transaction",
      operations: 1000,
      ours: Effect.suspend(() => texts.setMany(thousand.map((key) => [key, text()]))),
      raw: () =>
        raw.db.transaction(() => {
          for (const key of thousand) rawTexts.set.run(key, null, text())
        })(),
      rounds: 51,
      target: 1.15
    },
    {
      name: "setMany of 1,000, bytes / loop in a transaction",
      operations: 1000,
      ours: Effect.suspend(() => bytesStore.setMany(thousand.map((key) => [key, bytes()]))),
      raw: () =>
        raw.db.transaction(() => {
          for (const key of thousand) rawBytes.set.run(key, null, bytes())
        })(),
      rounds: 51,
      target: 1.6
    },
    {
      name: "1,000 concurrent sets, NORMAL / loop of set",
      operations: 1000,
      ours: concurrently(thousand, (key) => texts.set(key, text())),
      raw: () => {
        for (const key of thousand) rawTexts.set.run(key, null, text())
      },
      rounds: 51,
      target: 2.2
    },
    ...[2, 16].map((fibers): Row => ({
      name: `get by ${fibers} fibers at once / loop of get`,
      operations: count,
      // Each its share, in one fiber that never pauses by itself.
      ours: Effect.forEach(
        Array.from({ length: fibers }, (_, i) => keys.filter((_, k) => k % fibers === i)),
        (share) => loop(share, texts.get),
        { concurrency: "unbounded", discard: true }
      ),
      raw: rawGets
    })),
    {
      name: "scan of 100,000 / iterate",
      operations: 100_000,
      ours: Stream.runForEachChunk(many.entries(), () => Effect.void),
      raw: () => {
        for (const row of rawMany.scan.iterate(Date.now())) void row.value
      },
      target: 1.5
    }
  ]
  return yield* Effect.forEach(rows, measure)
})

const full = Effect.gen(function*() {
  const raw = openRaw("raw-full.db", "FULL").table("texts")
  const texts = yield* Texts
  return yield* measure({
    name: "1,000 concurrent sets, FULL / loop of set",
    operations: 1000,
    ours: concurrently(thousand, (key) => texts.set(key, text())),
    raw: () => {
      for (const key of thousand) raw.set.run(key, null, text())
    },
    target: 0.4
  })
})

const on = (options: Sqlite.Options) =>
  Layer.mergeAll(Texts.layer, Bytes.layer, Structs.layer, Many.layer).pipe(
    Layer.provide(Storage.layer()),
    Layer.provide(Sqlite.layer(options))
  )

const memoryOfScan = Effect.gen(function*() {
  const many = yield* Many
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let highest = before
  for (let i = 0; i < 5; i++) {
    yield* Stream.runForEachChunk(many.entries(), () =>
      Effect.sync(() => {
        highest = Math.max(highest, process.memoryUsage().rss)
      }))
  }
  return (highest - before) / (1 << 20)
})

const program = Effect.gen(function*() {
  const file = { filename: path.join(folder, "kv.db") }
  const results: ReadonlyArray<Result> = [
    ...(yield* Effect.provide(normal, on(file))),
    yield* Effect.provide(full, on({ filename: path.join(folder, "kv-full.db"), synchronous: "FULL" }))
  ]
  print(results)
  const grown = yield* Effect.provide(memoryOfScan, on(file))
  process.stdout.write(`\nscan of 100,000, five times: resident memory grew by at most ${grown.toFixed(1)} MB\n`)
  const cpu = os.cpus()
  process.stdout.write(
    `${cpu.length} x ${
      cpu[0]?.model.trim()
    }, ${os.platform()} ${os.arch()}, Node ${process.version}, medians of alternating runs\n`
  )
})

await Effect.runPromise(Effect.ensuring(program, Effect.sync(() => rmSync(folder, { force: true, recursive: true }))))
