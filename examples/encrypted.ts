/**
 * Values that are encrypted at rest, by a key from the environment, which is then rotated.
 *
 *     RECORDS_KEY=$(openssl rand -hex 32) npx tsx examples/encrypted.ts
 */
import { Config, Console, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Codec, KeyValueStore, Sqlite, Storage } from "effect-kv"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"

const Patient = Schema.Struct({ name: Schema.String, notes: Schema.String })
const patient = { name: "Ada Lovelace", notes: "allergic to penicillin" }

const newKey = Effect.sync(() => Redacted.make(randomBytes(32).toString("hex")))

const configuredKey = Effect.gen(function*() {
  const key = yield* Config.option(Config.redacted("RECORDS_KEY"))
  if (Option.isSome(key)) return key.value
  yield* Console.log("RECORDS_KEY is not set: this run has a key of its own, which is lost when it ends")
  return yield* newKey
})

/** The first key encrypts, any decrypts. */
const patients = (...keys: readonly [Codec.EncryptionKey, ...ReadonlyArray<Codec.EncryptionKey>]) =>
  KeyValueStore.make({
    keyspace: "patients",
    value: Codec.encrypted(Codec.json(Patient), keys)
  })

const program = (folder: string) =>
  Effect.gen(function*() {
    const oldKey = yield* configuredKey
    yield* (yield* patients(oldKey)).set("p-1", patient)

    const texts = yield* Effect.promise(async () =>
      Promise.all((await fs.readdir(folder)).map((name) => fs.readFile(path.join(folder, name), "latin1")))
    )
    const shows = (text: string) => texts.some((bytes) => bytes.includes(text))
    yield* Console.log(
      `the file shows: p-1 ${shows("p-1")}, Lovelace ${shows("Lovelace")}, penicillin ${shows("penicillin")}`
    )

    // Read by any key, written by the new one: afterwards the old one can go.
    const key = yield* newKey
    yield* (yield* patients(key, oldKey)).update("p-1", (patient) => patient)
    const rotated = yield* patients(key)
    yield* Console.log(`read by the new key: ${(yield* rotated.getOrFail("p-1")).name}`)

    // Somebody with access to the database gives one patient the record of another.
    const keyspace = yield* (yield* Storage.Storage).keyspace("patients")
    const stolen = Option.getOrThrow(yield* keyspace.get("p-1"))
    yield* keyspace.set("p-2", stolen.value)
    yield* rotated.get("p-2").pipe(
      Effect.catchTag("CodecError", ({ detail }) => Console.log(`refused: ${detail}`))
    )
  }).pipe(
    Effect.provide(Layer.provide(Storage.layer(), Sqlite.layer({ filename: path.join(folder, "patients.db") })))
  )

const main = Effect.flatMap(
  Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-encrypted-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  ),
  program
)

Effect.runPromise(Effect.scoped(main))
