/** effect-kv on PostgreSQL against a pool of the raw driver on the same server, with aims: same values, one run. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import { Storage } from "effect-kv"
import { unavailable } from "../test/postgres/binaries.js"
import { freshSchema } from "../test/postgres/databases.js"
import { startPostgres } from "../test/postgres/launcher.js"
import { median, printAims, race, type Result, say } from "./harness.js"
import { openRawPostgres } from "./rawPostgres.js"
import { Counters, loop, storageLayer, Texts } from "./stores.js"
import { keys, padded, text, thousand } from "./values.js"

const connections = 10
/** Microseconds for each side of a row: the answers of a server vary more than those of a library do. */
const budget = 2_000_000

interface Row {
  readonly name: string
  /** The ratio that is aimed for; a row without one only watches. */
  readonly target?: number
  readonly operations: number
  readonly ours: Effect.Effect<unknown, unknown>
  /** Of several ways the quickest counts. Each is what it does after "/" in the name of the row. */
  readonly raw: Readonly<Record<string, () => Promise<unknown>>>
}

const few = thousand.slice(0, 200)

/** Each fiber, or each loop of promises, has its share. */
const shares = (many: number) =>
  Array.from({ length: many }, (_, share) => thousand.filter((_, i) => i % many === share))

/** What the raw driver's user writes for `loop`. */
const rawLoop = async (items: ReadonlyArray<string>, f: (key: string) => Promise<unknown>) => {
  for (const item of items) await f(item)
}

const atOnce = <E>(many: number, f: (key: string) => Effect.Effect<unknown, E>) =>
  Effect.forEach(shares(many), (share) => loop(share, f), { concurrency: "unbounded", discard: true })

const rawAtOnce = (many: number, f: (key: string) => Promise<unknown>) =>
  Promise.all(shares(many).map((share) => rawLoop(share, f)))

/** The longest that anybody waited, in milliseconds, for each run. */
const watch = () => {
  const runs: Array<number> = []
  let longest = 0
  return {
    end: () => {
      runs.push(longest)
      longest = 0
    },
    runs,
    since: (start: number) => {
      longest = Math.max(longest, performance.now() - start)
    }
  }
}

const compare = (row: Row): Effect.Effect<Result> =>
  Effect.promise(async () => {
    const [ours = NaN, ...others] = await race(
      [() => Effect.runPromise(row.ours), ...Object.values(row.raw)].map((run) => ({
        operations: row.operations,
        run
      })),
      budget
    )
    const times = others.map((time = NaN) => time)
    const raw = Math.min(...times)
    const best = Object.keys(row.raw)[times.indexOf(raw)]
    return { name: `${row.name} / ${best}`, ours, ratio: ours / raw, raw, target: row.target }
  })

const run = (url: string) =>
  Effect.gen(function*() {
    const raw = yield* Effect.acquireRelease(
      Effect.promise(() => openRawPostgres(url, connections)),
      (raw) => Effect.promise(raw.close)
    )
    const storage = yield* Storage.Storage
    const texts = yield* Texts
    const counters = yield* Counters

    // Both hold the same before anything is measured, and in the same order: ours writes many in that of their keys.
    yield* texts.setMany(keys.map((key) => [key, text()]))
    yield* Effect.promise(() => raw.setManyByUnnest(keys.toSorted()))
    for (const counter of ["alone", "shared"]) {
      yield* counters.set(counter, 0)
      yield* Effect.promise(() => raw.set(counter, "0"))
    }

    const pairs = few.slice(0, 100).map((key, i) => [key, padded(i + 5000)] as const)
    const rawPairs = (begin: string) => async () => {
      for (const pair of pairs) await raw.setTwo(begin, pair)
    }
    const two = {
      operations: pairs.length,
      ours: Effect.gen(function*() {
        for (const [one, other] of pairs) {
          yield* storage.transaction(Effect.zipRight(texts.set(one, text()), texts.set(other, text())))
        }
      })
    }

    const fibers = 20
    const waits = watch()
    const rawWaits = watch()
    const shared = {
      name: `1,000 increments of one key by ${fibers} fibers`,
      operations: thousand.length,
      ours: Effect.ensuring(
        atOnce(fibers, () =>
          Effect.suspend(() => {
            const start = performance.now()
            return Effect.map(counters.increment("shared", 1), () => waits.since(start))
          })),
        Effect.sync(waits.end)
      ),
      raw: {
        "FOR UPDATE": async () => {
          await rawAtOnce(fibers, async () => {
            const start = performance.now()
            await raw.increment("shared")
            rawWaits.since(start)
          })
          rawWaits.end()
        }
      },
      target: 1.5
    }

    const rows: ReadonlyArray<Row> = [
      {
        name: "get",
        operations: few.length,
        ours: loop(few, texts.get),
        raw: { SELECT: () => rawLoop(few, raw.get) },
        target: 1.5
      },
      {
        name: "set",
        operations: few.length,
        ours: loop(few, (key) => texts.set(key, text())),
        raw: { upsert: () => rawLoop(few, (key) => raw.set(key, text())) },
        target: 1.5
      },
      {
        name: "get by 10 fibers at once",
        operations: thousand.length,
        ours: atOnce(10, texts.get),
        raw: { "10 promises": () => rawAtOnce(10, raw.get) }
      },
      {
        name: "set by 10 fibers at once",
        operations: thousand.length,
        ours: atOnce(10, (key) => texts.set(key, text())),
        raw: { "10 promises": () => rawAtOnce(10, (key) => raw.set(key, text())) }
      },
      {
        name: "getMany of 1,000",
        operations: thousand.length,
        ours: Effect.suspend(() => texts.getMany(thousand)),
        raw: { "= ANY": () => raw.getMany(thousand) },
        target: 1.5
      },
      {
        name: "setMany of 1,000",
        operations: thousand.length,
        ours: Effect.suspend(() => texts.setMany(thousand.map((key) => [key, text()]))),
        raw: { VALUES: () => raw.setManyByValues(thousand), unnest: () => raw.setManyByUnnest(thousand) },
        target: 1.5
      },
      shared,
      {
        name: "increment by one fiber",
        operations: few.length,
        ours: loop(few, () => counters.increment("alone", 1)),
        raw: { "FOR UPDATE": () => rawLoop(few, () => raw.increment("alone")) }
      },
      { ...two, name: "transaction of two sets", raw: { BEGIN: rawPairs("BEGIN") } },
      {
        ...two,
        name: "transaction of two sets",
        // As ours is.
        raw: { "BEGIN, serializable": rawPairs("BEGIN ISOLATION LEVEL SERIALIZABLE") }
      }
    ]
    const results = yield* Effect.forEach(rows, (row) => Effect.zipRight(Effect.promise(raw.settle), compare(row)))

    // Nobody's increment may be lost, and nobody's value.
    const counted = yield* counters.getOrFail("shared")
    const rawCounted = Number(yield* Effect.promise(() => raw.get("shared")))
    if (counted !== 1000 * waits.runs.length || rawCounted !== 1000 * rawWaits.runs.length) {
      return yield* Effect.dieMessage(`the counters say ${counted} and ${rawCounted}`)
    }

    printAims(results, "pg")
    const [get, set, getAtOnce, setAtOnce] = results
    say("")
    for (const [name, one, ten] of [["get", get, getAtOnce], ["set", set, setAtOnce]] as const) {
      if (one === undefined || ten === undefined) continue
      const faster = (side: "ours" | "raw") => (one[side] / ten[side]).toFixed(2)
      say(
        `${name}: 10 at once are ${faster("raw")} times as fast as one with pg, ${faster("ours")} times with effect-kv`
      )
    }
    const longest = (runs: ReadonlyArray<number>) =>
      `${median(runs).toFixed(0)} ms in the median run, ${Math.max(...runs).toFixed(0)} ms at most`
    say(`${shared.name}, the longest wait for one:`)
    say(`  pg         ${longest(rawWaits.runs)}`)
    say(`  effect-kv  ${longest(waits.runs)}`)

    const expired = 10_000
    const limit = 64
    const swept = yield* storage.keyspace("swept")
    // They expire in another order than that of their keys, as sessions do.
    const due = () => {
      const first = Date.now() - expired
      return Array.from({ length: expired }, (_, i) => ({
        expiresAt: first + (i * 7919) % expired,
        key: padded(i)
      }))
    }
    const sweeping = (fill: () => Promise<unknown>, sweep: () => Promise<number>) => ({
      before: async () => {
        await fill()
        await raw.settle()
      },
      operations: expired,
      run: async () => {
        const removed = await sweep()
        if (removed !== expired) throw new Error(`${removed} entries were swept, not ${expired}`)
      }
    })
    const times = yield* Effect.promise(() =>
      race([
        sweeping(
          () => Effect.runPromise(swept.setMany(due().map((entry) => ({ ...entry, value: text() })))),
          () => Effect.runPromise(storage.maintenance.compact)
        ),
        sweeping(() => raw.expire(due()), () => raw.sweepInSlices(limit)),
        sweeping(() => raw.expire(due()), raw.sweep)
      ])
    )
    const names = ["effect-kv, compact", `pg, DELETE of ${limit} at a time`, "pg, one DELETE"]
    say(`sweep of ${expired.toLocaleString("en")} expired entries, entries a second:`)
    names.forEach((name, i) => say(`  ${name.padEnd(26)}  ${Math.round(1e6 / (times[i] ?? NaN))}`))
  })

const given = process.env.EFFECT_KV_PG_URL ?? ""

export const againstPostgres = Effect.scoped(Effect.gen(function*() {
  const why = given === "" ? unavailable() : undefined
  if (why !== undefined) return say(`left out: ${why}; EFFECT_KV_PG_URL can name a server`)
  const server = given === "" ? (yield* startPostgres()).url : given
  const { url } = yield* freshSchema(server)
  const stores = Layer.merge(Texts.layer, Counters.layer).pipe(
    Layer.provideMerge(storageLayer),
    Layer.provide(PgClient.layer({ maxConnections: connections, url }))
  )
  yield* Effect.provide(Effect.scoped(run(Redacted.value(url))), stores)
}))
