/** The engines that every behaviour suite runs on. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Effect, Layer } from "effect"
import { Sqlite, Storage, type StorageError } from "effect-kv"
import * as path from "node:path"
import { tempFolder } from "./support.js"

export interface Engine {
  readonly name: string
  /** A store of its own each time it is built. */
  readonly layer: Layer.Layer<Storage.Storage, StorageError.StorageError>
}

const options: Storage.Options = { sweep: false }

export const sqliteFile: Engine = {
  layer: Layer.unwrapScoped(
    Effect.map(
      tempFolder,
      (folder) => Layer.provide(Storage.layer(options), Sqlite.layer({ filename: path.join(folder, "kv.db") }))
    )
  ),
  name: "SQLite file"
}

export const sqliteMemory: Engine = {
  layer: Layer.provide(Storage.layer(options), Sqlite.layer({ filename: ":memory:" })),
  name: "SQLite :memory:"
}

export const bareClient: Engine = {
  layer: Layer.provide(Storage.layer(options), Layer.orDie(SqliteClient.layer({ filename: ":memory:" }))),
  name: "bare SqliteClient"
}

export const memory: Engine = { layer: Storage.layerMemory, name: "memory" }

export const engines: ReadonlyArray<Engine> = [sqliteFile, sqliteMemory, bareClient, memory]
