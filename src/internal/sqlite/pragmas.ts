/**
 * The settings of a connection, in the order in which SQLite heeds them, each read back.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { AutoVacuum, JournalMode, Options, Synchronous } from "../../Sqlite.js"
import { Fault } from "../storage/fault.js"
import { sqlite } from "../storage/sqlite.js"
import { memory } from "./path.js"

// In the order of SQLite's own numbers for them.
const synchronous: ReadonlyArray<Synchronous> = ["OFF", "NORMAL", "FULL", "EXTRA"]
const autoVacuum: ReadonlyArray<AutoVacuum> = ["NONE", "FULL", "INCREMENTAL"]
const journalModes: ReadonlyArray<JournalMode> = ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY"]

interface Pragma {
  readonly name: string
  /** What is written; checked, so that nothing a user gives is spliced into a statement. */
  readonly value: string | number
  /** What must be read afterwards; undefined if another value is fine as well. */
  readonly expected: string | number | undefined
  /** Why it may not take, and what to do. */
  readonly hint: string
}

const fixed = "an existing database keeps it until it is vacuumed; leave the option out to accept that"

const oneOf = (name: string, value: string, allowed: ReadonlyArray<string>): Effect.Effect<number, Fault> => {
  const index = allowed.indexOf(value)
  return index >= 0
    ? Effect.succeed(index)
    : Effect.fail(new Fault("Incompatible", `${name} ${JSON.stringify(value)} is not one of ${allowed.join(", ")}`))
}

const pageSizes: ReadonlySet<number> = new Set([512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536])

const size = (name: string, value: number): Effect.Effect<number, Fault> =>
  Number.isSafeInteger(value) && value >= 0
    ? Effect.succeed(value)
    : Effect.fail(new Fault("Incompatible", `${name} is a number of bytes, not ${value}`))

/** Defaults are wishes: an existing database keeps its own layout. What the user asks for has to be had. */
const pragmas = (options: Options): Effect.Effect<ReadonlyArray<Pragma>, Fault> =>
  Effect.gen(function*() {
    const list: Array<Pragma> = [{ expected: 0, hint: "", name: "busy_timeout", value: 0 }]
    const add = (name: string, value: string | number, expected: string | number | undefined, hint = "") =>
      list.push({ expected, hint, name, value })
    if (options.readonly !== true) {
      if (options.pageSize !== undefined) {
        const bytes = yield* size("pageSize", options.pageSize)
        if (!pageSizes.has(bytes)) {
          return yield* Effect.fail(
            new Fault("Incompatible", `pageSize ${bytes} is not a power of two from 512 to 65536`)
          )
        }
        add("page_size", bytes, bytes, fixed)
      }
      const vacuum = yield* oneOf("autoVacuum", options.autoVacuum ?? "INCREMENTAL", autoVacuum)
      add("auto_vacuum", vacuum, options.autoVacuum === undefined ? undefined : vacuum, fixed)
      const mode = options.journalMode ?? "WAL"
      yield* oneOf("journalMode", mode, journalModes)
      const wish = options.filename === memory && options.journalMode === undefined
      if (!wish) {
        add(
          "journal_mode",
          mode,
          mode.toLowerCase(),
          "a database in memory, or on a file system without shared memory, cannot have every mode; choose another"
        )
      }
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
    run((connection) => sqlite.compiling(connection).execute(`PRAGMA ${text}`, [], undefined))
  const read = (name: string) => Effect.map(pragma(name), (rows) => Object.values(rows[0] ?? {})[0])
  return Effect.gen(function*() {
    for (const { expected, hint, name, value } of yield* pragmas(options)) {
      yield* pragma(`${name} = ${value}`)
      const actual = yield* read(name)
      if (expected !== undefined && actual !== expected) {
        return yield* Effect.fail(
          new Fault(
            "Incompatible",
            `PRAGMA ${name} = ${value} did not take, it is ${actual}${hint === "" ? "" : `: ${hint}`}`
          )
        )
      }
    }
    yield* read("schema_version")
  })
}
