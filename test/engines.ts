/** The engines that every behaviour suite runs on. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Effect, Layer, Metric, MetricState } from "effect"
import { Sqlite, Storage, type StorageError } from "effect-kv"
import * as path from "node:path"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { tempFolder } from "./support.js"

export interface Engine {
  readonly name: string
  /** Until every fiber has come to where it waits. */
  readonly turns: Effect.Effect<void>
  /** A store of its own each time it is built. */
  readonly layer: Layer.Layer<Storage.Storage, StorageError.StorageError>
  /** Why it cannot be had here. */
  readonly unavailable?: string | undefined
}

/** The tests of something on an engine. */
export const describeOn = ({ name, unavailable }: Engine, what: string, tests: () => void) =>
  describeUnless(unavailable, `${what} on ${name}`, tests)

const options: Storage.Options = { sweep: false }

const turns = Effect.promise(async () => {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** How much has been read and written by now. */
const progress = Effect.map(
  Metric.snapshot,
  (all) =>
    all.reduce(
      (sum, { metricState }) => MetricState.isCounterState(metricState) ? sum + Number(metricState.count) : sum,
      0
    )
)

/** Answers of a server take their time: until none has come for a while. */
const quiet = (before = -1): Effect.Effect<void> =>
  Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 30))).pipe(
    Effect.zipRight(progress),
    Effect.flatMap((now) => now === before ? Effect.void : quiet(now))
  )

export const sqliteFile: Engine = {
  layer: Layer.unwrapScoped(
    Effect.map(
      tempFolder,
      (folder) => Layer.provide(Storage.layer(options), Sqlite.layer({ filename: path.join(folder, "kv.db") }))
    )
  ),
  name: "SQLite file",
  turns
}

export const sqliteMemory: Engine = {
  layer: Layer.provide(Storage.layer(options), Sqlite.layer({ filename: ":memory:" })),
  name: "SQLite :memory:",
  turns
}

export const bareClient: Engine = {
  layer: Layer.provide(Storage.layer(options), Layer.orDie(SqliteClient.layer({ filename: ":memory:" }))),
  name: "bare SqliteClient",
  turns
}

export const memory: Engine = { layer: Storage.layerMemory, name: "memory", turns }

export const postgres: Engine = {
  layer: Layer.unwrapScoped(
    Effect.map(
      Effect.orDie(freshSchema),
      (schema) => Layer.provide(Storage.layer(options), Layer.orDie(PgClient.layer({ ...schema, maxConnections: 5 })))
    )
  ),
  name: "PostgreSQL",
  turns: quiet(),
  unavailable
}

export const engines: ReadonlyArray<Engine> = [sqliteFile, sqliteMemory, bareClient, memory, postgres]

/** One of each kind: for what stands on a `Storage`, when the suites of that have been run on all. */
export const kinds: ReadonlyArray<Engine> = [sqliteFile, memory, postgres]
