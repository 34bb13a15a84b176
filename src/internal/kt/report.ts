/**
 * What a server tells of itself, by the names of the original.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as os from "node:os"
import type { Failure } from "../../KtTransport.js"
import { realMillis, withNow } from "../storage/compat.js"
import type { Database } from "./databases.js"

/**
 * How often what was done, and how often in vain.
 *
 * @internal
 */
export interface Counts {
  get: number
  get_misses: number
  remove: number
  remove_misses: number
  script: number
  set: number
  set_misses: number
}

/** @internal */
export const noCounts = (): Counts => ({
  get: 0,
  get_misses: 0,
  remove: 0,
  remove_misses: 0,
  script: 0,
  set: 0,
  set_misses: 0
})

/** @internal */
export const status = (database: Database): Effect.Effect<ReadonlyMap<string, string>, Failure> =>
  Effect.map(database.keyspace.stat(), ({ bytes, entries }) =>
    new Map([
      ["count", String(entries)],
      ["ktcapcnt", "-1"],
      ["ktcapsiz", "-1"],
      ["ktopts", "0"],
      ["path", database.path],
      ["realtype", String(database.type)],
      ["size", String(bytes)],
      ["type", String(database.type)]
    ]))

/** @internal */
export const report = (
  databases: ReadonlyArray<Database>,
  counts: Counts,
  since: number
): Effect.Effect<ReadonlyMap<string, string>, Failure> =>
  withNow((now) =>
    Effect.map(Effect.forEach(databases, ({ keyspace }) => keyspace.stat()), (stats) => {
      const memory = process.memoryUsage()
      const used = process.resourceUsage()
      return new Map([
        ...Object.entries(counts).map(([name, count]) => [`cnt_${name}`, String(count)] as const),
        ["conf_kt_features", "(effect-kv)"],
        ["conf_os_name", os.type()],
        ...databases.map(({ index, path }, i) =>
          [`db_${index}`, `count=${stats[i]?.entries ?? 0} size=${stats[i]?.bytes ?? 0} path=${path}`] as const
        ),
        ["db_total_count", String(stats.reduce((sum, { entries }) => sum + entries, 0))],
        ["db_total_size", String(stats.reduce((sum, { bytes }) => sum + bytes, 0))],
        ["serv_current_time", (now / 1000).toFixed(6)],
        ["serv_proc_id", String(process.pid)],
        ["serv_running_term", ((realMillis() - since) / 1000).toFixed(6)],
        ["sys_mem_rss", String(memory.rss)],
        ["sys_ru_stime", (used.systemCPUTime / 1e6).toFixed(6)],
        ["sys_ru_utime", (used.userCPUTime / 1e6).toFixed(6)]
      ])
    })
  )
