/**
 * A command-line tool that keeps what is slow to get: it completes the names of hosts, for which it would have to ask an
 * inventory each time. Answers go to stdout, and where they are from to stderr.
 *
 *     npx tsx examples/cli-cache.ts web      asks the inventory, once an hour
 *     npx tsx examples/cli-cache.ts db       from the cache
 *     npx tsx examples/cli-cache.ts --no-cache db
 *     npx tsx examples/cli-cache.ts --clear
 *
 * The cache is in `$XDG_CACHE_HOME/hosts-example`, or in `~/.cache/hosts-example`.
 */
import { Config, Console, Data, Effect, Layer, Schema } from "effect"
import { Sqlite, Storage, TtlStore } from "effect-kv"
import * as path from "node:path"
import { parseArgs } from "node:util"

class Hosts extends TtlStore.Tag<Hosts>()("hosts/Hosts", {
  keyspace: "hosts",
  // Another version of the tool may have written something else: that is asked for again.
  onDecodeFailure: "miss",
  timeToLive: "1 hour",
  value: Schema.Array(Schema.String)
}) {}

/** Stands for a slow request. */
const askInventory = Console.error("asking the inventory").pipe(
  Effect.zipRight(Effect.sleep("300 millis")),
  Effect.as(["web-1", "web-2", "web-3", "db-1", "db-2"])
)

class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

const args = Effect.try({
  try: () =>
    parseArgs({ allowPositionals: true, options: { clear: { type: "boolean" }, "no-cache": { type: "boolean" } } }),
  catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
})

/** A database for this user alone, whose folder is made if need be. Several of us may use it at once. */
const CacheLive = Hosts.layer.pipe(
  Layer.provide(Storage.layer()),
  Layer.provide(Sqlite.layerConfig({
    filename: Config.nonEmptyString("XDG_CACHE_HOME").pipe(
      Config.withDefault("~/.cache"),
      Config.map((folder) => path.join(folder, "hosts-example", "cache.db"))
    ),
    // Who waits for a completion does not wait for long.
    lockTimeout: Config.succeed("1 second" as const)
  }))
)

const cached = Effect.flatMap(Hosts, (hosts) => hosts.getOrSet("all", askInventory)).pipe(
  Effect.provide(CacheLive),
  // Without its cache the tool is slow, and works.
  Effect.catchTag("StorageError", (error) => Effect.zipRight(Console.error(error.message), askInventory))
)

const clear = Effect.flatMap(Hosts, (hosts) => hosts.clear()).pipe(
  Effect.flatMap((cleared) => Console.log(`cleared: ${cleared}`)),
  Effect.provide(CacheLive)
)

const main = Effect.gen(function*() {
  const { positionals: [prefix = ""], values } = yield* args
  if (values.clear === true) return yield* clear
  const hosts = yield* values["no-cache"] === true ? askInventory : cached
  for (const host of hosts) if (host.startsWith(prefix)) yield* Console.log(host)
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
