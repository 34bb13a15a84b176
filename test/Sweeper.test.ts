/** The sweeper in the background: when it runs, with which settings, and for how long. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Exit, Layer, Logger, Option, Scope, TestClock } from "effect"
import { Codec, Sqlite, Storage, TtlStore } from "effect-kv"
import { createHash } from "node:crypto"
import { tempFile } from "./support.js"

/** Time for all slices of one sweep, which pauses for a millisecond between two. */
const turns = Effect.promise(async () => {
  for (let i = 0; i < 60; i++) await new Promise((resolve) => setTimeout(resolve, 1))
})

const adjust = (millis: number) => Effect.zipRight(TestClock.adjust(millis), turns)

class Texts extends TtlStore.Tag<Texts>()("test/Texts", { keyspace: "texts", value: Codec.text }) {}
class Others extends TtlStore.Tag<Others>()("test/Others", { keyspace: "others", value: Codec.text }) {}

/** How many rows of a keyspace there are, expired or not. */
const rows = (keyspace: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [table] = yield* sql<{ readonly name: string }>`
      SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE ${`kv_%_${keyspace}`}`
    const [row] = yield* sql<{ readonly n: number }>`SELECT count(*) AS n FROM ${sql(table!.name)}`
    return row!.n
  })

const fill = (count: number, life: number) =>
  Effect.flatMap(
    Texts,
    (texts) => texts.setMany(Array.from({ length: count }, (_, i) => [`k${i}`, "v"]), { timeToLive: life })
  )

const sqlite = (sweep?: Storage.Options["sweep"]) =>
  Layer.provideMerge(
    Layer.merge(Texts.layer, Others.layer),
    Layer.provideMerge(Storage.layer({ sweep }), Sqlite.layer({ filename: ":memory:" }))
  )

describe("the sweeper of a Storage", () => {
  it.effect("removes what is expired after its interval, and not before", () =>
    Effect.gen(function*() {
      yield* fill(3, 1)
      yield* (yield* Others).setMany([["gone", "v", { timeToLive: 1 }], ["stays", "v"]])
      yield* adjust(9_999)
      assert.strictEqual(yield* rows("texts"), 3)
      yield* adjust(1)
      assert.strictEqual(yield* rows("texts"), 0)
      assert.strictEqual(yield* rows("others"), 1)
      // And again.
      yield* fill(2, 1)
      yield* adjust(9_999)
      assert.strictEqual(yield* rows("texts"), 2)
      yield* adjust(1)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.provide(sqlite({ interval: "10 seconds" }))))

  it.effect("runs every minute if nobody says", () =>
    Effect.gen(function*() {
      yield* fill(3, 1)
      yield* adjust(59_999)
      assert.strictEqual(yield* rows("texts"), 3)
      yield* adjust(1)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.provide(sqlite({}))))

  // A month of it would be 43,200 sweeps.
  it.effect("does not run on the clock of a test unless it is asked for", () =>
    Effect.gen(function*() {
      yield* fill(3, 1)
      yield* adjust(30 * 24 * 3_600_000)
      assert.strictEqual(yield* rows("texts"), 3)
      yield* Layer.build(TtlStore.sweeper({ interval: "10 days" }))
      yield* adjust(30 * 24 * 3_600_000)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.scoped, Effect.provide(sqlite())))

  it.effect("does not run where it is turned off", () =>
    Effect.gen(function*() {
      yield* fill(3, 1)
      yield* adjust(600_000)
      assert.strictEqual(yield* rows("texts"), 3)
      assert.strictEqual(yield* (yield* Storage.Storage).maintenance.compact, 3)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.provide(sqlite(false))))

  it.effect("removes any number, however small its slices", () =>
    Effect.gen(function*() {
      for (const batchSize of [1, 7, 0, Infinity]) {
        const storage = yield* Storage.Storage
        yield* storage.maintenance.sweeper({ batchSize, interval: 1000 })
        yield* fill(29, 1)
        yield* adjust(1000)
        assert.strictEqual(yield* rows("texts"), 0, `in slices of ${batchSize}`)
      }
    }).pipe(Effect.provide(sqlite(false))))

  it.effect("goes on with other keyspaces and later, and says so, when one cannot be swept", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => logged.push(String(message)))
    return Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* fill(3, 1)
      yield* (yield* Others).set("k", "v", { timeToLive: 1 })
      const [table] = yield* sql<{ readonly name: string }>`
        SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'kv_%_texts'`
      const kept = sql("kept")
      yield* sql`ALTER TABLE ${sql(table!.name)} RENAME TO ${kept}`
      yield* adjust(1000)
      assert.isAbove(logged.length, 0)
      assert.include(logged[0], "sweep")
      assert.strictEqual(yield* rows("others"), 0)
      yield* sql`ALTER TABLE ${kept} RENAME TO ${sql(table!.name)}`
      yield* adjust(1000)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(
      Effect.provide(sqlite({ interval: 1000 })),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
  })

  it.effect("ends quietly where nothing can be written", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => logged.push(String(message)))
    return Effect.gen(function*() {
      const filename = yield* tempFile
      const on = (options: Partial<Sqlite.Options>) =>
        Layer.provideMerge(
          Texts.layer,
          Layer.provideMerge(Storage.layer({ sweep: { interval: 1000 } }), Sqlite.layer({ ...options, filename }))
        )
      yield* Effect.provide(Effect.zipRight(fill(3, 1), Effect.flatMap(Texts, (texts) => texts.set("k", "v"))), on({}))
      yield* Effect.gen(function*() {
        yield* adjust(5000)
        deepStrictEqual(yield* (yield* Texts).toMap(), new Map([["k", "v"]]))
        assert.strictEqual(yield* rows("texts"), 4)
      }).pipe(Effect.provide(on({ readonly: true })))
      deepStrictEqual(logged, [])
    }).pipe(Effect.scoped, Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.effect("stops with the scope of the Storage", () =>
    Effect.gen(function*() {
      const client = yield* Layer.build(Sqlite.layer({ filename: ":memory:" }))
      const on = Layer.provideMerge(Texts.layer, Layer.fresh(Storage.layer({ sweep: { interval: 1000 } })))
      const scope = yield* Scope.make()
      const storage = yield* Layer.buildWithScope(Layer.provide(on, Layer.succeedContext(client)), scope)
      yield* Effect.provide(fill(3, 1), storage)
      yield* adjust(1000)
      assert.strictEqual(yield* Effect.provide(rows("texts"), client), 0)
      yield* Effect.provide(fill(3, 1), storage)
      yield* Scope.close(scope, Exit.void)
      yield* adjust(10_000)
      assert.strictEqual(yield* Effect.provide(rows("texts"), client), 3)
    }).pipe(Effect.scoped))

  it.effect("finds what was prolonged, shortened, and made to last", () =>
    Effect.gen(function*() {
      const texts = yield* Texts
      // Prolonged again and again, as sessions are.
      yield* fill(500, 5_000)
      yield* texts.setMany([["shortened", "v"], ["lasting", "v"]], { timeToLive: "1 hour" })
      yield* texts.expire("shortened", 25_001)
      yield* texts.persist("lasting")
      for (let i = 0; i < 5; i++) {
        yield* adjust(4_000)
        for (let k = 0; k < 500; k++) yield* texts.touch(`k${k}`, 5_000)
      }
      // At 20 s all were looked at, and live.
      assert.strictEqual(yield* rows("texts"), 502)
      yield* adjust(4_999)
      assert.strictEqual(yield* rows("texts"), 502)
      yield* adjust(15_001)
      // Long after 25 s those have expired that were not made to last.
      assert.strictEqual(yield* rows("texts"), 1)
      assert.isTrue(yield* texts.has("lasting"))
      yield* texts.expire("lasting", 1)
      yield* adjust(10_000)
      assert.strictEqual(yield* rows("texts"), 0)
      // What expires, made to last by a plain set, and the other way round.
      yield* fill(3, 1)
      yield* texts.set("k0", "v", { timeToLive: Infinity })
      yield* adjust(10_000)
      assert.strictEqual(yield* rows("texts"), 1)
      yield* texts.set("k0", "v", { timeToLive: 1 })
      yield* adjust(10_000)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.provide(sqlite({ interval: "10 seconds" }))))

  it.effect("sweeps what was written by the layout before", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const client = Sqlite.layer({ filename })
      // Version 1, with a text keyspace and one of bytes.
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE kv_migrations (version INTEGER NOT NULL PRIMARY KEY)`
        yield* sql`CREATE TABLE kv_catalog (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, keys TEXT NOT NULL) STRICT`
        yield* sql`INSERT INTO kv_migrations (version) VALUES (1)`
        for (const [id, name, keys, type] of [[1, "texts", "text", "TEXT"], [2, "a/b", "bytes", "BLOB"]] as const) {
          yield* sql`INSERT INTO kv_catalog (id, name, keys) VALUES (${id}, ${JSON.stringify(name)}, ${keys})`
          const hash = createHash("sha256").update(JSON.stringify(name)).digest("hex").slice(0, 8)
          const table = sql(`kv_${id}_${hash}_${name.replace("/", "_")}`)
          yield* sql`CREATE TABLE ${table} (key ${
            sql.literal(type)
          } NOT NULL PRIMARY KEY, expires_at INTEGER, value ANY NOT NULL) STRICT`
          yield* sql`CREATE INDEX ${
            sql(`kv_${id}_${hash}_${name.replace("/", "_")}_expiry`)
          } ON ${table} (expires_at, key) WHERE expires_at IS NOT NULL`
          const key = (text: string) => keys === "text" ? text : new TextEncoder().encode(text)
          yield* sql`INSERT INTO ${table} VALUES (${key("old")}, 5000, 'v')`
          yield* sql`INSERT INTO ${table} VALUES (${key("stays")}, NULL, 'v')`
        }
      }).pipe(Effect.provide(client))
      yield* Effect.gen(function*() {
        const texts = yield* Texts
        assert.isTrue(yield* texts.has("old"))
        yield* texts.set("new", "v", { timeToLive: 1 })
        const storage = yield* Storage.Storage
        const bytes = yield* storage.keyspace("a/b", { keys: "bytes" })
        deepStrictEqual(yield* bytes.stat(), { bytes: 10, entries: 2 })
        yield* adjust(10_000)
        assert.strictEqual(yield* rows("texts"), 1)
        assert.strictEqual(yield* rows("a_b"), 1)
      }).pipe(
        Effect.provide(Texts.layer.pipe(
          Layer.provideMerge(Storage.layer({ sweep: { interval: "10 seconds" } })),
          Layer.provideMerge(client)
        ))
      )
    }).pipe(Effect.scoped))

  it.effect("in memory", () =>
    Effect.gen(function*() {
      const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("texts"))
      yield* fill(30, 1)
      yield* adjust(59_999)
      assert.strictEqual((yield* keyspace.removeExpired({ limit: 1 })).removed, 1)
      yield* adjust(1)
      assert.strictEqual((yield* keyspace.removeExpired({ limit: 1000 })).removed, 0)
    }).pipe(
      Effect.provide(Layer.provideMerge(Layer.merge(Texts.layer, TtlStore.sweeper({})), Storage.layerMemory))
    ))
})

describe("TtlStore.sweeper", () => {
  it.effect("sets how often the sweeper runs, in place of any setting before", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(TtlStore.sweeper({ interval: "10 seconds" }))
      deepStrictEqual(Context.getOption(context, Storage.Storage), Option.none())
      yield* fill(3, 1)
      yield* adjust(10_000)
      assert.strictEqual(yield* rows("texts"), 0)
      // Less often.
      yield* Layer.build(TtlStore.sweeper({ interval: "1 hour" }))
      yield* fill(3, 1)
      yield* adjust(3_599_999)
      assert.strictEqual(yield* rows("texts"), 3)
      yield* adjust(1)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.scoped, Effect.provide(sqlite())))

  it.effect("turns on what was off", () =>
    Effect.gen(function*() {
      yield* fill(3, 1)
      yield* adjust(1000)
      assert.strictEqual(yield* rows("texts"), 0)
    }).pipe(Effect.provide(Layer.provideMerge(TtlStore.sweeper({ interval: 1000 }), sqlite(false)))))

  it.effect("over layerMemory", () =>
    Effect.gen(function*() {
      const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("texts"))
      yield* fill(30, 1)
      yield* adjust(4999)
      assert.strictEqual((yield* keyspace.removeExpired({ limit: 1 })).removed, 1)
      yield* adjust(1)
      assert.strictEqual((yield* keyspace.removeExpired({ limit: 1000 })).removed, 0)
    }).pipe(Effect.provide(
      Layer.merge(Texts.layer, TtlStore.sweeper({ interval: "5 seconds" })).pipe(
        Layer.provideMerge(Storage.layerMemory)
      )
    )))

  for (const whose of ["the Storage's", "the client's"] as const) {
    it.effect(`set in a transaction, ${whose}, runs after it as well`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const storage = yield* Storage.Storage
        const set = Layer.build(TtlStore.sweeper({ interval: 1000 }))
        yield* whose === "the Storage's" ? storage.transaction(set) : sql.withTransaction(set)
        for (let i = 0; i < 2; i++) {
          yield* fill(3, 1)
          yield* adjust(1000)
          assert.strictEqual(yield* rows("texts"), 0)
        }
      }).pipe(Effect.scoped, Effect.provide(sqlite(false))))
  }

  it.effect("a Storage that is built in a transaction of the user sweeps after it as well", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const storage = yield* sql.withTransaction(
        Layer.build(Layer.fresh(Storage.layer({ sweep: { interval: 1000 } })))
      )
      const texts = yield* Effect.provide(Layer.build(Texts.layer), storage)
      for (let i = 0; i < 2; i++) {
        yield* Effect.provide(fill(3, 1), texts)
        yield* adjust(1000)
        assert.strictEqual(yield* rows("texts"), 0)
      }
    }).pipe(Effect.scoped, Effect.provide(Sqlite.layer({ filename: ":memory:" }))))

  it.effect("a store that is opened in a transaction is swept after it as well", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const texts = yield* storage.transaction(TtlStore.make({ keyspace: "opened", value: Codec.text }))
      yield* texts.set("k", "v", { timeToLive: 1 })
      yield* adjust(1000)
      assert.strictEqual(yield* rows("opened"), 0)
    }).pipe(Effect.provide(sqlite({ interval: 1000 }))))

  it.effect("does not outlive the Storage", () =>
    Effect.gen(function*() {
      const client = yield* Layer.build(Sqlite.layer({ filename: ":memory:" }))
      const scope = yield* Scope.make()
      const storage = yield* Layer.buildWithScope(
        Layer.provideMerge(Texts.layer, Layer.fresh(Storage.layer({ sweep: false }))).pipe(
          Layer.provide(Layer.succeedContext(client))
        ),
        scope
      )
      yield* Effect.provide(Layer.build(TtlStore.sweeper({ interval: 1000 })), storage)
      yield* Effect.provide(fill(3, 1), storage)
      yield* Scope.close(scope, Exit.void)
      yield* adjust(10_000)
      assert.strictEqual(yield* Effect.provide(rows("texts"), client), 3)
    }).pipe(Effect.scoped))
})
