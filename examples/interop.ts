/**
 * What asks for the services of Effect's own packages, on one database: a cache of results that outlives the program, a
 * limit that all its processes share, and the key-value store that a library wants.
 *
 *     npx tsx examples/interop.ts
 */
import { PersistedCache, Persistence, RateLimiter } from "@effect/experimental"
import { KeyValueStore as Platform } from "@effect/platform"
import { Console, Effect, Exit, Layer, Option, PrimaryKey, Schema } from "effect"
import { KeyValueStore, Sqlite, Storage, TtlStore } from "effect-kv"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"

class Forecast extends Schema.TaggedRequest<Forecast>()("Forecast", {
  failure: RateLimiter.RateLimiterError,
  payload: { city: Schema.String },
  success: Schema.Struct({ degrees: Schema.Number })
}) {
  [PrimaryKey.symbol]() {
    return this.city
  }
}

/** Stands for a request that costs something. */
const ask = ({ city }: Forecast) => Effect.as(Console.log(`asking for ${city}`), { degrees: city.length })

/** Stands for a library, which knows nothing of us. */
const nextRun = Effect.gen(function*() {
  const numbers = (yield* Platform.KeyValueStore).forSchema(Schema.Int)
  const run = Option.getOrElse(yield* numbers.get("runs"), () => 0) + 1
  yield* numbers.set("runs", run)
  return run
})

const program = (...cities: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const run = yield* nextRun
    const withLimiter = yield* RateLimiter.makeWithRateLimiter
    const forecasts = yield* PersistedCache.make({
      lookup: (request: Forecast) => withLimiter({ key: "forecasts", limit: 2, window: "1 hour" })(ask(request)),
      storeId: "forecasts",
      // A refusal is not kept.
      timeToLive: (_, exit) => Exit.isSuccess(exit) ? "1 hour" : 0
    })
    for (const city of cities) {
      const told = yield* Effect.match(forecasts.get(new Forecast({ city })), {
        onFailure: ({ message }) => message,
        onSuccess: ({ degrees }) => `${degrees} degrees`
      })
      yield* Console.log(`run ${run}, ${city}: ${told}`)
    }
  }).pipe(Effect.scoped)

const makeLive = (filename: string) =>
  Layer.mergeAll(
    KeyValueStore.layerPlatform({ prefix: "library/" }),
    Layer.provide(Persistence.layerResult, TtlStore.layerPersistence()),
    Layer.provide(RateLimiter.layer, TtlStore.layerRateLimiter())
  ).pipe(
    Layer.provide(Storage.layer()),
    Layer.provide(Sqlite.layer({ filename }))
  )

const main = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-interop-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  )
  const filename = path.join(folder, "app.db")
  // Each opens the file and closes it, as a program does that runs and ends.
  yield* Effect.provide(program("Oslo", "Rome"), makeLive(filename))
  yield* Effect.provide(program("Oslo", "Rome", "Bern"), makeLive(filename))
}).pipe(Effect.scoped)

Effect.runPromise(main)
