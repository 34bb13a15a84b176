/**
 * A command-line tool that completes the names of hosts, for which it has to ask a slow inventory: its answer is
 * memoised, in a file, for all that follow. Answers go to stdout, and where they are from to stderr.
 *
 *     npx tsx examples/cli-cache.ts web      asks the inventory, once an hour
 *     npx tsx examples/cli-cache.ts db       from the cache
 *     npx tsx examples/cli-cache.ts --no-cache db
 *     npx tsx examples/cli-cache.ts --clear
 *
 * The cache is in `$XDG_CACHE_HOME/hosts-example`, or in `~/.cache/hosts-example`.
 */
import { Config, Console, Data, Effect, Layer, Schema } from "effect"
import { Memoize, Sqlite, Storage } from "effect-kv"
import * as path from "node:path"
import { parseArgs } from "node:util"

/** Stands for a slow request. */
const askInventory = Console.error("asking the inventory").pipe(
  Effect.zipRight(Effect.sleep("300 millis")),
  Effect.as(["web-1", "web-2", "web-3", "db-1", "db-2"])
)

class Inventory extends Memoize.Tag<Inventory>()("hosts/Inventory", {
  args: Schema.Tuple(),
  success: Schema.Array(Schema.String),
  timeToLive: "1 hour",
  // For a day, old names are better than none.
  staleIfError: "1 day"
}, () => askInventory) {}

/** A database for this user alone, whose folder is made if need be. Several of us may use it at once. */
const InventoryLive = Inventory.layer.pipe(
  Layer.provide(Storage.layer()),
  Layer.provide(Sqlite.layerConfig({
    filename: Config.nonEmptyString("XDG_CACHE_HOME").pipe(
      Config.withDefault("~/.cache"),
      Config.map((folder) => path.join(folder, "hosts-example", "cache.db"))
    ),
    // Who waits for a completion does not wait for long.
    lockTimeout: Config.succeed("1 second" as const)
  })),
  // Without its cache the tool is slow, and works.
  Layer.catchAll((error) =>
    Layer.merge(Layer.effectDiscard(Console.error(error.message)), Inventory.layerTest(() => askInventory))
  )
)

class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

const args = Effect.try({
  try: () =>
    parseArgs({ allowPositionals: true, options: { clear: { type: "boolean" }, "no-cache": { type: "boolean" } } }),
  catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
})

const main = Effect.gen(function*() {
  const { positionals: [prefix = ""], values } = yield* args
  yield* Effect.gen(function*() {
    const inventory = yield* Inventory
    if (values.clear === true) return yield* Console.log(`cleared: ${yield* inventory.invalidateAll}`)
    const hosts = yield* values["no-cache"] === true ? Memoize.bypass(inventory()) : inventory()
    for (const host of hosts) if (host.startsWith(prefix)) yield* Console.log(host)
  }).pipe(Effect.provide(InventoryLive))
})

main.pipe(
  Effect.catchAll((error) =>
    Effect.zipRight(
      Console.error(error.message),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  ),
  Effect.runPromise
)
