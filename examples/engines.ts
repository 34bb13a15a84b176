/**
 * One program on two engines: an embedded SQLite file, and a PostgreSQL server when one machine is no longer enough.
 * They differ in one layer.
 *
 *     npx tsx examples/engines.ts
 *     DATABASE_URL=postgresql://user@localhost/app npx tsx examples/engines.ts
 */
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer, Option, Schema } from "effect"
import { KeyValueStore, Sqlite, Storage, TtlStore } from "effect-kv"

class Visits extends KeyValueStore.Tag<Visits>()("app/Visits", { keyspace: "visits", value: Schema.Int }) {}

class Sessions extends TtlStore.Tag<Sessions>()("app/Sessions", {
  keyspace: "sessions",
  timeToLive: "30 minutes",
  value: Schema.Struct({ user: Schema.String })
}) {}

const program = Effect.gen(function*() {
  const storage = yield* Storage.Storage
  const visits = yield* Visits
  const sessions = yield* Sessions

  // Both or neither. A server has other clients, so what is lost to one of them is tried again.
  const visit = (user: string) =>
    storage.transaction(
      Effect.zipRight(sessions.set(`session-of-${user}`, { user }), visits.increment(user, 1)),
      { retry: true }
    )

  yield* Effect.forEach(["ada", "alan", "ada"], visit, { concurrency: 3 })
  yield* Console.log(
    `ada came ${yield* visits.getOrFail("ada")} times, and ${yield* sessions.size()} sessions are open`
  )
})

const OnSqlite = Sqlite.layer({ filename: ":memory:" })

const OnPostgres = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })

const Stores = Layer.mergeAll(Visits.layer, Sessions.layer).pipe(Layer.provideMerge(Storage.layer()))

const main = Effect.gen(function*() {
  const isServer = Option.isSome(yield* Config.option(Config.redacted("DATABASE_URL")))
  yield* isServer
    ? Effect.provide(program, Layer.provide(Stores, OnPostgres))
    : Effect.provide(program, Layer.provide(Stores, OnSqlite))
})

Effect.runPromise(main)
