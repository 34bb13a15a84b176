/** Memoised functions against the raw driver, a Deferred, and peers. */
import { Deferred, Effect, Fiber, Request, RequestResolver, Schema } from "effect"
import { Memoize, Storage } from "effect-kv"
import * as path from "node:path"
import { measure, printAims, type Row } from "./harness.js"
import { memoizePeers } from "./memoizePeers.js"
import { openRaw } from "./raw.js"
import { concurrently, loop, on, Small } from "./stores.js"
import { count, keys, type Small as Answer, small, thousand } from "./values.js"

const lookup = (key: string) => Effect.sync(() => answerTo(key))
const timeToLive = "1 hour"
const answerTo = (key: string): Answer => ({ ...small(), name: key })
const args = Schema.Tuple(Schema.String)

/** Five members, of which one tells calls apart. */
const Query = Schema.Struct({
  active: Schema.Boolean,
  id: Schema.String,
  limit: Schema.Number,
  order: Schema.Literal("ascending", "descending"),
  tags: Schema.Array(Schema.String)
})
const queryOf = (id: string): typeof Query.Type => ({
  active: true,
  id,
  limit: 10,
  order: "ascending",
  tags: ["one", "two"]
})

class ById extends Schema.TaggedRequest<ById>()("ById", {
  failure: Schema.Never,
  payload: { id: Schema.String },
  success: Small
}) {}

const callers = 10_000
const delay = "20 millis"

/** So many fibers that await one Deferred; what completes it is a fiber, too. */
const awaiting = (completing: (deferred: Deferred.Deferred<void>) => Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const deferred = yield* Deferred.make<void>()
    const completes = yield* Effect.fork(completing(deferred))
    const fibers: Array<Fiber.RuntimeFiber<void>> = []
    for (let i = 0; i < callers; i++) fibers.push(yield* Effect.fork(Deferred.await(deferred)))
    for (const fiber of fibers) yield* Fiber.join(fiber)
    yield* Fiber.join(completes)
  })

/** So many fibers that wait for a gate, which is opened once all are there: nobody sleeps. */
const gated = <A>(call: (gate: Deferred.Deferred<void>) => Effect.Effect<A>) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const waits = call(gate)
    const fibers: Array<Fiber.RuntimeFiber<A>> = []
    for (let i = 0; i < callers; i++) fibers.push(yield* Effect.fork(waits))
    yield* Effect.yieldNow()
    yield* Deferred.succeed(gate, undefined)
    for (const fiber of fibers) yield* Fiber.join(fiber)
  })

const sameKey = (key: string) => Array.from({ length: callers }, () => key)

const rows = (folder: string) =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const raw = openRaw(path.join(folder, "raw-memo.db"), "NORMAL")

    const fromSqlite = yield* Memoize.make(
      { args, name: "fromSqlite", success: Small, timeToLive },
      (key) => lookup(key)
    )
    const inMemory = yield* Memoize.make({
      args,
      // What is too old is read again, and this row measures what is not.
      inMemory: { capacity: count, maxAge: "1 hour" },
      name: "inMemory",
      success: Small,
      timeToLive
    }, (key) => lookup(key))
    const tagged = yield* Memoize.make(
      { args, name: "tagged", success: Small, tags: ([key]) => ["all", `half:${key.length % 2}`], timeToLive },
      (key) => lookup(key)
    )
    const queried = yield* Memoize.make(
      { args: Schema.Tuple(Query), name: "queried", success: Small, timeToLive },
      ({ id }) => lookup(id)
    )
    const bounded = yield* Memoize.make({
      args,
      eviction: "least-recently-used",
      maxEntries: 2 * count,
      name: "bounded",
      success: Small,
      timeToLive
    }, (key) => lookup(key))
    const byId = yield* Memoize.request(
      { request: ById, timeToLive },
      RequestResolver.makeBatched((requests: ReadonlyArray<ById>) =>
        Effect.forEach(requests, (request) => Request.succeed(request, answerTo(request.id)), { discard: true })
      )
    )

    // Each holds its answers before anything is measured.
    const requested = (ids: ReadonlyArray<string>) =>
      Effect.forEach(ids, (id) => Effect.request(new ById({ id }), byId), { batching: true, discard: true })
    const batches = Array.from({ length: count / 100 }, (_, i) => keys.slice(100 * i, 100 * i + 100))
    const byBatches = Effect.gen(function*() {
      for (const batch of batches) yield* requested(batch)
    })
    for (const memo of [fromSqlite, inMemory, tagged, bounded]) yield* loop(keys, memo)
    yield* loop(keys, (key) => queried(queryOf(key)))
    yield* byBatches

    // The raw tables hold the same keys with the same text, in the order in which ours were stored.
    const copied = (name: string, storedAs: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const table = raw.table(name)
        const entries = yield* (yield* storage.keyspace(`memo/${name}`)).getMany(storedAs)
        raw.db.transaction(() => {
          for (const entry of entries) {
            if (entry._tag === "None") throw new Error(`${name} does not hold an answer`)
            table.set.run(entry.value.key, null, String(entry.value.value))
          }
        })()
        return () => {
          for (const key of storedAs) void table.get.get(key, Date.now())?.value
        }
      })
    const storedAs = <A>(keyOf: (key: string) => Effect.Effect<A, unknown>) =>
      Effect.orDie(Effect.forEach(keys, (key) => keyOf(key)))
    const rawAnswers = yield* copied("fromSqlite", yield* storedAs(fromSqlite.keyOf))
    const rawTagged = yield* copied("tagged", yield* storedAs(tagged.keyOf))
    const rawQueried = yield* copied("queried", yield* storedAs((key) => queried.keyOf(queryOf(key))))
    const rawBounded = yield* copied("bounded", yield* storedAs(bounded.keyOf))
    const rawById = yield* copied("ById", yield* storedAs((id) => byId.keyOf(new ById({ id }))))

    // Who needs no memoised function has the answer alone as JSON, and its own key.
    const rawStructs = raw.table("structs")
    raw.db.transaction(() => {
      for (const key of keys) rawStructs.set.run(key, null, JSON.stringify(answerTo(key)))
    })()
    const rawParsed = () => {
      for (const key of keys) {
        const row = rawStructs.get.get(key, Date.now())
        if (row !== undefined) JSON.parse(row.value)
      }
    }

    let misses = 0
    const missing = (prefix: string) => {
      const round = misses++
      return thousand.map((key) => `${prefix}:${round}:${key}`)
    }

    let called = 0
    let asked = 0
    const slow = yield* Memoize.make(
      { args, name: "slow", success: Small, timeToLive },
      (key) => {
        called++
        return Effect.delay(lookup(key), delay)
      }
    )
    let gate = yield* Deferred.make<void>()
    const held = yield* Memoize.make({ args, name: "held", success: Small, timeToLive }, (key) => {
      called++
      return Effect.zipRight(Deferred.await(gate), lookup(key))
    })

    const all: ReadonlyArray<Row> = [
      { name: "hit, from SQLite / get", operations: count, ours: loop(keys, fromSqlite), raw: rawAnswers, target: 6 },
      {
        name: "hit, in memory / get and JSON.parse",
        operations: count,
        ours: loop(keys, inMemory),
        raw: rawParsed,
        target: 0.5
      },
      {
        name: "10,000 callers of a cold key, 20 ms / of a Deferred",
        operations: callers,
        ours: Effect.suspend(() => {
          asked++
          return concurrently(sameKey(`cold:${asked}`), slow)
        }),
        raw: awaiting((deferred) => Effect.delay(Deferred.succeed(deferred, undefined), delay)),
        rounds: 21,
        target: 1.5
      },
      {
        name: "10,000 callers of a cold key, no sleep / of a Deferred",
        operations: callers,
        ours: gated((opened) => {
          asked++
          gate = opened
          return held(`cold:${asked}`)
        }),
        raw: gated((opened) => Deferred.await(opened)),
        rounds: 21
      },
      {
        name: "miss that stores / get and set",
        operations: thousand.length,
        ours: Effect.suspend(() => loop(missing("ours"), fromSqlite)),
        raw: () => {
          for (const key of missing("raw")) {
            void rawStructs.get.get(key, Date.now())
            rawStructs.set.run(key, null, JSON.stringify(answerTo(key)))
          }
        }
      },
      { name: "hit, two tags / get", operations: count, ours: loop(keys, tagged), raw: rawTagged },
      {
        name: "hit, an object of five members / get",
        operations: count,
        ours: loop(keys, (key) => queried(queryOf(key))),
        raw: rawQueried
      },
      { name: "hit, requests in batches of 100 / get", operations: count, ours: byBatches, raw: rawById },
      { name: "hit, least recently used bounds / get", operations: count, ours: loop(keys, bounded), raw: rawBounded }
    ]
    const results = yield* Effect.forEach(all, measure)
    if (called !== asked) return yield* Effect.dieMessage(`${asked} cold keys were asked for, and computed ${called}`)
    printAims(results)
  })

export const memoize = (folder: string) =>
  Effect.zipRight(
    Effect.provide(Effect.scoped(rows(folder)), on({ filename: path.join(folder, "kv-memo.db") })),
    Effect.promise(() => memoizePeers(folder))
  )
