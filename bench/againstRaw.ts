/** effect-kv against the raw driver, with aims: same pragmas, same values, one run. */
import { Effect, Stream } from "effect"
import * as path from "node:path"
import { measure, printAims, type Row } from "./harness.js"
import { openRaw } from "./raw.js"
import { Bytes, concurrently, loop, Many, on, Structs, Texts } from "./stores.js"
import { bytes, count, keys, padded, small, text, thousand } from "./values.js"

const normal = (folder: string) =>
  Effect.gen(function*() {
    const raw = openRaw(path.join(folder, "raw.db"), "NORMAL")
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
    yield* structs.setMany(keys.map((key) => [key, small()]))
    const scanned = Array.from({ length: 100_000 }, (_, i) => [padded(i), text()] as const)
    raw.db.transaction(() => {
      for (const [key, value] of scanned) rawMany.set.run(key, null, value)
    })()
    yield* many.setMany(scanned)

    const rawGets = () => {
      for (const key of keys) void rawTexts.get.get(key, Date.now())?.value
    }
    const rows: ReadonlyArray<Row> = [
      { name: "get, text", operations: count, ours: loop(keys, texts.get), raw: rawGets, target: 2.5 },
      {
        name: "get, small struct as JSON",
        operations: count,
        ours: loop(keys, structs.get),
        raw: rawGets,
        target: 3.5
      },
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

const full = (folder: string) =>
  Effect.gen(function*() {
    const raw = openRaw(path.join(folder, "raw-full.db"), "FULL").table("texts")
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

export const againstRaw = (folder: string) =>
  Effect.gen(function*() {
    const results = yield* Effect.provide(normal(folder), on({ filename: path.join(folder, "kv.db") }))
    const last = yield* Effect.provide(
      full(folder),
      on({ filename: path.join(folder, "kv-full.db"), synchronous: "FULL" })
    )
    printAims([...results, last])
  })
