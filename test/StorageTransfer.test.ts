import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Effect, Layer, Stream } from "effect"
import { Storage } from "effect-kv"
import { kinds } from "./engines.js"
import { seenThrough } from "./failing.js"
import { suite } from "./suites/storageTransfer.js"
import { open, tempFile } from "./support.js"

for (const engine of kinds) suite(engine)

const inMemory = Effect.map(Layer.build(Storage.layerMemory), Context.get(Storage.Storage))

const textOf = (storage: Storage.Storage["Type"]) =>
  Effect.map(
    Stream.runCollect(Stream.provideService(Storage.exportEntries(), Storage.Storage, storage)),
    (lines) => Chunk.join(lines, "")
  )

const importing = (storage: Storage.Storage["Type"], text: Stream.Stream<string | Uint8Array>) =>
  Effect.provideService(Storage.importEntries(text), Storage.Storage, storage)

/** A Storage in memory whose keyspaces with text keys are changed. */
const changed = (change: (keyspace: Storage.Keyspace) => Storage.Keyspace) =>
  Effect.map(Layer.build(seenThrough(change)), Context.get(Storage.Storage))

describe("moving data out of a SQLite file", () => {
  const filled = Effect.gen(function*() {
    const filename = yield* tempFile
    const text = yield* Effect.scoped(Effect.gen(function*() {
      const { storage } = yield* open({ filename, journalMode: "DELETE" })
      yield* (yield* storage.keyspace("text")).set("k", "v")
      yield* (yield* storage.keyspace("bytes", { keys: "bytes" })).set(new Uint8Array([1]), "v")
      return yield* textOf(storage)
    }))
    return { filename, text }
  })

  it.scoped("finds what others have created, before and meanwhile", () =>
    Effect.gen(function*() {
      const { filename, text } = yield* filled
      const { storage } = yield* open({ filename })
      const other = yield* open({ filename })
      assert.strictEqual(yield* textOf(storage), text)
      yield* other.storage.keyspace("later")
      deepStrictEqual(yield* storage.maintenance.keyspaces, [
        { keys: "bytes", name: "bytes" },
        { keys: "text", name: "later" },
        { keys: "text", name: "text" }
      ])
      // Nothing was created or opened to tell.
      deepStrictEqual(yield* other.storage.maintenance.stats, [{ bytes: 0, entries: 0, keyspace: "later" }])
    }))

  it.scoped("needs no right to write", () =>
    Effect.gen(function*() {
      const { filename, text } = yield* filled
      const { storage } = yield* open({ filename, readonly: true })
      assert.strictEqual(yield* textOf(storage), text)
    }))
})

describe("what is too large for one text", () => {
  it.scoped("fails the export, and tells where", () =>
    Effect.gen(function*() {
      // Not stored: that would take as much memory again.
      const value = new Uint8Array(403_000_000)
      const storage = yield* changed((keyspace) => ({
        ...keyspace,
        entries: () => Stream.make({ expiresAt: undefined, key: "large", value })
      }))
      yield* storage.keyspace("s")
      const error = yield* Effect.flip(textOf(storage))
      deepStrictEqual(
        [error.reason, error.method, error.keyspace, error.key],
        ["InvalidValue", "exportEntries", "s", "large"]
      )
    }))

  it.scoped("fails the import, and tells the line", () =>
    Effect.gen(function*() {
      const endless = Stream.concat(
        Stream.make("{\"format\":\"effect-kv\",\"version\":1}\n"),
        Stream.repeatValue("x".repeat(2 ** 26))
      )
      const error = yield* Effect.flip(importing(yield* inMemory, endless))
      assert(error._tag === "ImportError")
      assert.strictEqual(error.line, 2)
      assert.include(error.message, "too long")
    }))
})

describe("an import", () => {
  it.scoped("writes batches of a bounded size, and reads no further than it writes", () =>
    Effect.gen(function*() {
      let read = 0
      let written = 0
      const bytesOf = (entries: ReadonlyArray<Storage.Entry>) =>
        entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
      const storage = yield* changed((keyspace) => ({
        ...keyspace,
        setMany: (entries) => {
          const all = Array.from(entries)
          written += all.length
          assert.isAtMost(all.length, 1000)
          // The last one may go beyond.
          assert.isBelow(bytesOf(all.slice(0, -1)), 1 << 20)
          assert.isAtMost(read - written, 2)
          return keyspace.setMany(all)
        }
      }))
      const entries = Stream.range(1, 5000).pipe(
        Stream.rechunk(1),
        Stream.map((i) => {
          read++
          return `{"key":"k${i}","value":"${"x".repeat(i > 4990 ? 400_000 : 10)}"}\n`
        })
      )
      const file = Stream.make("{\"format\":\"effect-kv\",\"version\":1}\n{\"keyspace\":\"s\",\"keys\":\"text\"}\n")
        .pipe(
          Stream.concat(entries),
          Stream.concat(Stream.make("{\"entries\":5000}\n"))
        )
      deepStrictEqual(yield* importing(storage, file), { expired: 0, imported: 5000, kept: 0 })
      assert.strictEqual(written, 5000)
    }))
})
