/**
 * A store leaves one engine as a text file, and comes back into another. Any program can read the file.
 *
 *     npx tsx examples/export.ts
 */
import { Console, Context, Data, Effect, Layer, Schema, Stream } from "effect"
import { KeyValueStore, Sqlite, Storage, TtlStore } from "effect-kv"
import { createReadStream, createWriteStream } from "node:fs"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"

class Users extends KeyValueStore.Tag<Users>()("app/Users", {
  keyspace: "users",
  value: Schema.Struct({ name: Schema.String })
}) {}

class Sessions extends TtlStore.Tag<Sessions>()("app/Sessions", {
  keyspace: "sessions",
  timeToLive: "30 minutes",
  value: Schema.String
}) {}

class FileError extends Data.TaggedError("FileError")<{ readonly cause: unknown }> {}

/** All that is stored, at one instant. The file is as secret as the store. */
const save = (file: string) =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    yield* storage.transaction(Effect.gen(function*() {
      const lines = yield* Stream.toAsyncIterableEffect(Storage.exportEntries())
      yield* Effect.tryPromise({
        try: () => pipeline(Readable.from(lines), createWriteStream(file, { mode: 0o600 })),
        catch: (cause) => new FileError({ cause })
      })
    }))
  })

/** All of the file, or nothing. */
const load = (file: string) =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const text = Stream.suspend(() =>
      Stream.fromAsyncIterable<Uint8Array, FileError>(createReadStream(file), (cause) => new FileError({ cause }))
    )
    return yield* storage.transaction(Storage.importEntries(text))
  })

const Stores = Layer.merge(Users.layer, Sessions.layer)
const OnSqlite = Storage.layer().pipe(Layer.provide(Sqlite.layer({ filename: ":memory:" })))

const program = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-export-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  )
  const file = path.join(folder, "store.ndjson")

  yield* Effect.gen(function*() {
    yield* (yield* Users).set("ada", { name: "Ada Lovelace" })
    yield* (yield* Users).set("grace", { name: "Grace Hopper" })
    yield* (yield* Sessions).set("s-1", "ada")
    yield* save(file)
  }).pipe(Effect.provide(Layer.provideMerge(Stores, OnSqlite)))
  yield* Console.log((yield* Effect.promise(() => fs.readFile(file, "utf8"))).trimEnd())

  const memory = yield* Layer.build(Layer.provideMerge(Stores, Storage.layerMemory))
  const { imported } = yield* Effect.provide(load(file), memory)
  yield* Console.log(`imported: ${imported}`)
  const ttl = yield* Context.get(memory, Sessions).ttl("s-1")
  yield* Console.log(`${(yield* Context.get(memory, Users).getOrFail("ada")).name} has a session: ${ttl._tag}`)

  // A file that was cut off is noticed.
  yield* Effect.promise(() => fs.truncate(file, 200))
  const error = yield* Effect.flip(Effect.provide(load(file), Storage.layerMemory))
  yield* Console.log(`cut off: ${error.message}`)
})

Effect.runPromise(Effect.scoped(program))
