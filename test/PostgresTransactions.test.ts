/** Transactions on PostgreSQL: their isolation, and how Storage and the user's own SQL share them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { Storage, type StorageError } from "effect-kv"
import { describeUnless, unavailable } from "./postgres/shared.js"
import { apart, lockingRow, onEach, openFresh, rowsOf, until } from "./postgres/stores.js"
import { keysOf } from "./support.js"

type Transaction = <A, E>(
  self: Effect.Effect<A, E>
) => Effect.Effect<A, E | SqlError | StorageError.StorageError>

const transactions = (storage: Storage.Storage["Type"], sql: SqlClient): ReadonlyArray<Transaction> => [
  (self) => storage.transaction(self),
  sql.withTransaction
]

/** Waits until so many have come, however often each comes. */
const meeting = (count: number) => {
  const all = Effect.unsafeMakeLatch()
  let here = 0
  return Effect.suspend(() => ++here === count ? all.open : all.await)
}

describeUnless(unavailable, "isolation on PostgreSQL", () => {
  for (const retry of [false, true]) {
    it.scopedLive(`write skew is lost to one of two${retry ? ", which is run again if it asks for that" : ""}`, () =>
      Effect.gen(function*() {
        const { keyspace, storage } = yield* openFresh()
        yield* keyspace.set("a", "on")
        yield* keyspace.set("b", "on")
        const met = meeting(2)
        /** Goes off, if the other stays on. */
        const leave = (key: string) =>
          storage.transaction(
            Effect.gen(function*() {
              const all = Chunk.toArray(yield* Stream.runCollect(keyspace.entries()))
              yield* met
              if (all.every(({ value }) => value === "on")) yield* keyspace.set(key, "off")
            }),
            { retry }
          )
        const exits = yield* Effect.all([Effect.exit(leave("a")), Effect.exit(leave("b"))], { concurrency: 2 })
        const failures = exits.filter(Exit.isFailure)
        deepStrictEqual(failures.length, retry ? 0 : 1)
        for (const { cause } of failures) {
          assert(cause._tag === "Fail" && cause.error._tag === "StorageError")
          deepStrictEqual(cause.error.reason, "Busy")
        }
        const all = Chunk.toArray(yield* Stream.runCollect(keyspace.entries()))
        deepStrictEqual(all.map(({ value }) => value).sort(), ["off", "on"])
      }))
  }

  it.scopedLive("a transaction sees nothing of what others commit meanwhile", () =>
    Effect.gen(function*() {
      const { keyspace, storage } = yield* openFresh()
      yield* keyspace.set("a", "before")
      const read = Effect.map(keyspace.getMany(["a", "b"]), (found) => found.map(Option.isSome))
      yield* storage.transaction(Effect.gen(function*() {
        deepStrictEqual(yield* read, [true, false])
        yield* apart(keyspace.set("b", "v"))
        deepStrictEqual(yield* read, [true, false])
      }))
      deepStrictEqual(yield* read, [true, true])
    }))
})

describeUnless(unavailable, "one transaction with the user's SQL, on PostgreSQL", () => {
  it.scopedLive("that of another client on the same database is not joined", () =>
    Effect.gen(function*() {
      const { keyspace, other, storage } = yield* openFresh()
      yield* Effect.flip(other.withTransaction(Effect.zipRight(keyspace.set("k", "v"), Effect.fail("no"))))
      deepStrictEqual(yield* keysOf(keyspace), ["k"])
      const both = Effect.zipRight(storage.transaction(keyspace.set("l", "v")), Effect.fail("no"))
      yield* Effect.flip(other.withTransaction(both))
      deepStrictEqual(yield* keysOf(keyspace), ["k", "l"])
    }))

  it.scopedLive("the user's streams, arrays and raw results are of the transaction", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* openFresh()
      yield* sql`CREATE TABLE mine (n INTEGER)`
      yield* storage.transaction(Effect.gen(function*() {
        yield* sql`INSERT INTO mine (n) VALUES (1), (2)`
        deepStrictEqual(
          Chunk.toArray(yield* Stream.runCollect(sql`SELECT n FROM mine ORDER BY n`.stream)),
          [{ n: 1 }, { n: 2 }]
        )
        deepStrictEqual(yield* sql`SELECT n FROM mine ORDER BY n`.values, [[1], [2]])
        assert.propertyVal(yield* sql`SELECT n FROM mine`.raw, "rowCount", 2)
      }))
    }))

  it.scopedLive("a keyspace that was created in a transaction goes with it", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* openFresh()
      const write = Effect.flatMap(storage.keyspace("late"), (late) => late.set("k", "v"))
      yield* Effect.flip(storage.transaction(Effect.zipRight(write, Effect.fail("no"))))
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(write, Effect.fail("no"))))
      deepStrictEqual(yield* sql`SELECT name FROM kv_catalog`, [{ name: "\"test\"" }])
      yield* sql.withTransaction(write)
      deepStrictEqual(yield* keysOf(yield* storage.keyspace("late")), ["k"])
    }))

  it.scopedLive("an interrupted transaction is rolled back, and its connection can be used", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, sql, storage } = yield* openFresh({ maxConnections: 2 })
      const sleeping = until(
        other`SELECT FROM pg_stat_activity WHERE application_name = ${applicationName} AND wait_event = 'PgSleep'`,
        (rows) => rows.length === 1
      )
      for (let i = 0; i < 4; i++) {
        const fiber = yield* Effect.fork(
          storage.transaction(Effect.zipRight(keyspace.set("k", "v"), sql`SELECT pg_sleep(60)`))
        )
        yield* sleeping
        yield* Fiber.interrupt(fiber)
      }
      deepStrictEqual(yield* keysOf(keyspace), [])
      deepStrictEqual(yield* onEach(sql, 2, (run) => run("SELECT 1 AS n")), [[{ n: 1 }], [{ n: 1 }]])
      yield* storage.transaction(keyspace.set("k", "v"))
      deepStrictEqual(yield* keysOf(keyspace), ["k"])
    }))
})

describeUnless(unavailable, "a statement that fails in a transaction, on PostgreSQL", () => {
  it.scopedLive("and is ignored makes the transaction fail, and nothing of it is kept", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh()
      const ignored = Effect.ignore(sql`SELECT * FROM nowhere`)
      for (const rest of [Effect.void, Effect.ignore(keyspace.set("after", "v"))]) {
        const error = yield* Effect.flip(
          storage.transaction(Effect.zipRight(keyspace.set("before", "v"), Effect.zipRight(ignored, rest)))
        )
        assert(error._tag === "StorageError")
        deepStrictEqual(error.method, "transaction")
        assert.include(error.message, "nowhere")
      }
      deepStrictEqual(yield* keysOf(keyspace), [])
    }))

  it.scopedLive("and is ignored makes what it is nested in go on without it", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh()
      const inner = Effect.zipRight(keyspace.set("inner", "v"), Effect.ignore(sql`SELECT * FROM nowhere`))
      for (const transaction of transactions(storage, sql)) {
        yield* keyspace.clear()
        yield* transaction(Effect.gen(function*() {
          yield* keyspace.set("before", "v")
          deepStrictEqual((yield* Effect.flip(storage.transaction(inner)))._tag, "StorageError")
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(keyspace.set("l", "v"), sql`SELECT * FROM nowhere`)))
          yield* keyspace.set("after", "v")
        }))
        deepStrictEqual(yield* keysOf(keyspace), ["after", "before"])
      }
    }))

  it.scopedLive("of a store's, in the user's own transaction, leaves that as it was", () =>
    Effect.gen(function*() {
      const { keyspace, other, sql, table } = yield* openFresh()
      yield* sql`CREATE TABLE mine (n INTEGER)`
      yield* keyspace.set("k", "before")
      const release = yield* lockingRow(other, table, "k")
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`SET LOCAL lock_timeout = '20ms'`
        yield* sql`INSERT INTO mine (n) VALUES (1)`
        for (
          const write of [
            keyspace.set("k", "v"),
            keyspace.setMany([{ expiresAt: undefined, key: "a", value: "v" }, {
              expiresAt: undefined,
              key: "k",
              value: "v"
            }]),
            keyspace.modify("k", () => [undefined, Storage.put("v")]),
            keyspace.remove("k"),
            keyspace.removeMany(["a", "k"]),
            keyspace.clear(),
            keyspace.clear({ from: "a" })
          ]
        ) {
          const error = yield* Effect.flip(write)
          deepStrictEqual(error._tag === "StorageError" && error.reason, "Busy")
        }
        deepStrictEqual(yield* keyspace.take({}, 5), [])
        yield* keyspace.set("free", "v")
      }))
      yield* release
      deepStrictEqual(yield* rowsOf(other, table), [{ key: "free", value: "v" }, { key: "k", value: "before" }])
      deepStrictEqual(yield* other`SELECT n FROM mine`, [{ n: 1 }])
    }))

  it.scopedLive("at its COMMIT is a typed error, and leaves the pool as it was", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh({ maxConnections: 2 })
      yield* sql`CREATE TABLE parents (n INTEGER PRIMARY KEY)`
      yield* sql`CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`
      const orphan = Effect.zipRight(keyspace.set("k", "v"), sql`INSERT INTO children (n) VALUES (1)`)
      for (let i = 0; i < 4; i++) {
        const error = yield* Effect.flip(storage.transaction(orphan))
        assert(error._tag === "StorageError")
        deepStrictEqual([error.reason, error.method], ["Unknown", "transaction"])
        assert.include(error.message, "children_n_fkey")
      }
      deepStrictEqual(yield* keysOf(keyspace), [])
      deepStrictEqual(
        yield* onEach(sql, 2, (run) => Effect.zipRight(run("BEGIN"), run("COMMIT"))),
        [[], []]
      )
      yield* storage.transaction(Effect.zipRight(sql`INSERT INTO parents (n) VALUES (1)`, orphan))
      deepStrictEqual(yield* keysOf(keyspace), ["k"])
    }))

  it.scopedLive("for a constraint of the user's own is not taken for a race that is worth another attempt", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* openFresh()
      yield* sql`CREATE TABLE mine (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED, m INTEGER UNIQUE)`
      yield* sql`INSERT INTO mine (n, m) VALUES (1, 1)`
      for (
        const statement of [
          sql`INSERT INTO mine (n) VALUES (1)`,
          Effect.ignore(sql`INSERT INTO mine (m) VALUES (1)`),
          Effect.ignore(sql`CREATE TABLE mine (n INTEGER)`)
        ]
      ) {
        let runs = 0
        const error = yield* Effect.flip(storage.transaction(
          Effect.zipRight(Effect.sync(() => runs++), statement),
          { retry: true }
        ))
        assert(error._tag === "StorageError")
        deepStrictEqual([error.reason, runs], ["Unknown", 1])
      }
    }))
})

describeUnless(unavailable, "a fiber that outlives its transaction, on PostgreSQL", () => {
  for (const kind of ["storage.transaction", "sql.withTransaction"] as const) {
    it.scopedLive(`fails as closed, in ${kind}`, () =>
      Effect.gen(function*() {
        const { keyspace, sql, storage } = yield* openFresh({ maxConnections: 1 })
        const transaction: Transaction = kind === "storage.transaction" ? storage.transaction : sql.withTransaction
        const go = yield* Deferred.make<void>()
        const fiber = yield* transaction(Effect.zipRight(
          keyspace.set("first", "v"),
          Effect.forkDaemon(Effect.zipRight(
            Deferred.await(go),
            Effect.all([
              Effect.flip(keyspace.set("late", "v")),
              Effect.flip(keyspace.modify("late", () => [undefined, Storage.put("v")])),
              Effect.flip(storage.transaction(Effect.void))
            ])
          ))
        ))
        yield* Deferred.succeed(go, undefined)
        for (const error of yield* Fiber.join(fiber)) {
          deepStrictEqual(error._tag === "StorageError" && error.reason, "Closed")
        }
        deepStrictEqual(yield* keysOf(keyspace), ["first"])
      }))
  }

  it.scopedLive("writes into no other that has its connection", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh({ maxConnections: 1 })
      for (const next of transactions(storage, sql)) {
        const go = yield* Deferred.make<void>()
        const fiber = yield* storage.transaction(Effect.zipRight(
          keyspace.set("first", "v"),
          Effect.forkDaemon(Effect.zipRight(Deferred.await(go), Effect.exit(keyspace.set("late", "v"))))
        ))
        const exit = yield* next(Effect.gen(function*() {
          yield* keyspace.set("other", "v")
          yield* Deferred.succeed(go, undefined)
          return yield* Fiber.join(fiber)
        }))
        assert.isTrue(Exit.isFailure(exit))
        deepStrictEqual(yield* keysOf(keyspace), ["first", "other"])
      }
    }))
})
