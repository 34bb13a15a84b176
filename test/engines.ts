/** The engines that every behaviour suite runs on. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Effect, Layer, Metric, MetricState } from "effect"
import { Sqlite, Storage, type StorageError } from "effect-kv"
import * as path from "node:path"
import { tempFolder } from "./support.js"

export interface Engine {
  readonly name: string
  /** Until every fiber has come to where it waits. */
  readonly turns: Effect.Effect<void>
  /** A store of its own each time it is built. */
  readonly layer: Layer.Layer<Storage.Storage, StorageError.StorageError>
}

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
export const quiet = (before = -1): Effect.Effect<void> =>
  Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 60))).pipe(
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

export const engines: ReadonlyArray<Engine> = [sqliteFile, sqliteMemory, bareClient, memory]
