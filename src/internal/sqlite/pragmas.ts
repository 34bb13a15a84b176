/**
 * The settings of a connection, in the order in which SQLite heeds them, each read back.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Options } from "../../Sqlite.js"
import { Fault } from "../storage/fault.js"
import { sqlite } from "../storage/sqlite.js"
import { memory } from "./path.js"

const synchronous = ["OFF", "NORMAL", "FULL", "EXTRA"] as const
const autoVacuum = ["NONE", "FULL", "INCREMENTAL"] as const
const journalModes = ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"] as const

/** @internal */
export type Synchronous = typeof synchronous[number]
/** @internal */
export type AutoVacuum = typeof autoVacuum[number]
/** @internal */
export type JournalMode = typeof journalModes[number]

interface Pragma {
  readonly name: string
  /** What is written; checked, so that nothing a user gives is spliced into a statement. */
  readonly value: string | number
  /** What must be read afterwards; undefined if another value is fine as well. */
  readonly expected: string | number | undefined
}

const oneOf = (name: string, value: string, allowed: ReadonlyArray<string>): Effect.Effect<number, Fault> => {
  const index = allowed.indexOf(value)
  return index >= 0
    ? Effect.succeed(index)
    : Effect.fail(new Fault("Incompatible", `${name} ${JSON.stringify(value)} is not one of ${allowed.join(", ")}`))
}

const size = (name: string, value: number): Effect.Effect<number, Fault> =>
  Number.isSafeInteger(value) && value >= 0
    ? Effect.succeed(value)
    : Effect.fail(new Fault("Incompatible", `${name} is a number of bytes, not ${value}`))

/** Defaults are wishes: an existing database keeps its own layout. What the user asks for has to be had. */
const pragmas = (options: Options): Effect.Effect<ReadonlyArray<Pragma>, Fault> =>
  Effect.gen(function*() {
    const list: Array<Pragma> = [{ expected: 0, name: "busy_timeout", value: 0 }]
    const add = (name: string, value: string | number, expected: string | number | undefined) =>
      list.push({ expected, name, value })
    if (options.readonly !== true) {
      if (options.pageSize !== undefined) {
        const bytes = yield* size("pageSize", options.pageSize)
        add("page_size", bytes, bytes)
      }
      const vacuum = yield* oneOf("autoVacuum", options.autoVacuum ?? "INCREMENTAL", autoVacuum)
      add("auto_vacuum", vacuum, options.autoVacuum === undefined ? undefined : vacuum)
      const mode = options.journalMode ?? "WAL"
      yield* oneOf("journalMode", mode, journalModes)
      const wish = options.filename === memory && options.journalMode === undefined
      if (!wish) add("journal_mode", mode, mode.toLowerCase())
    }
    const level = yield* oneOf("synchronous", options.synchronous ?? "NORMAL", synchronous)
    add("synchronous", level, level)
    if (options.cacheSize !== undefined) {
      const kibibytes = -Math.ceil((yield* size("cacheSize", options.cacheSize)) / 1024)
      add("cache_size", kibibytes, kibibytes)
    }
    if (options.mmapSize !== undefined) {
      const bytes = yield* size("mmapSize", options.mmapSize)
      // A database in memory has no file to map, and answers with nothing.
      if (options.filename !== memory) add("mmap_size", bytes, bytes)
    }
    return list
  })

/**
 * Sets the pragmas, and reads the schema: a file that is no database is found out here and not at the first use.
 *
 * @internal
 */
export const apply = (
  options: Options,
  run: <A>(body: (connection: Connection) => Effect.Effect<A, SqlError>) => Effect.Effect<A, Fault>
): Effect.Effect<void, Fault> => {
  const pragma = (text: string) =>
    run((connection) => sqlite.forRetry(connection).execute(`PRAGMA ${text}`, [], undefined))
  const read = (name: string) => Effect.map(pragma(name), (rows) => Object.values(rows[0] ?? {})[0])
  return Effect.gen(function*() {
    for (const { expected, name, value } of yield* pragmas(options)) {
      yield* pragma(`${name} = ${value}`)
      const actual = yield* read(name)
      if (expected !== undefined && actual !== expected) {
        return yield* Effect.fail(
          new Fault(
            "Incompatible",
            `PRAGMA ${name} = ${value} did not take: the database has ${actual}. ` +
              "An existing database keeps its page size and auto_vacuum until it is vacuumed; leave the option out to accept that"
          )
        )
      }
    }
    yield* read("schema_version")
  })
}
