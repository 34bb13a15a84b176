/** Locks on PostgreSQL: who waits for whom, for how long, and what is left of it. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Effect, Exit, Fiber, Option, Random, Stream } from "effect"
import { Storage, type StorageError } from "effect-kv"
import { databasesUnavailable, describeUnless, freshDatabase, freshSchema, unavailable } from "./postgres/shared.js"
import {
  blocked,
  clientOf,
  holding,
  holdingAll,
  lockingRow,
  onEach,
  openFresh,
  openOn,
  rowsOf,
  until,
  withSettings
} from "./postgres/stores.js"
import { keysOf } from "./support.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

const entriesOf = (keys: ReadonlyArray<string>, value = "v") =>
  keys.map((key) => ({ expiresAt: undefined, key, value }))

const add = (entry: Option.Option<Storage.Entry>) => {
  const sum = 1 + Number(Option.match(entry, { onNone: () => 0, onSome: ({ value }) => value }))
  return [sum, Storage.put(String(sum))] as const
}

const reasonOf = (error: StorageError.StorageError | StorageError.InvalidKey) =>
  error._tag === "StorageError" ? error.reason : error._tag

type Operation = Effect.Effect<unknown, StorageError.StorageError | StorageError.InvalidKey>

/** A schema in which nobody waits for a lock for ever, so that a test that goes wrong ends. */
const impatient = Effect.map(freshSchema, (config) => withSettings(config, { lock_timeout: "4s" }))

/** Everything that may have to wait for the row of a key. */
const writesOf = (keyspace: Storage.Keyspace, key: string): Record<string, Operation> => ({
  clear: keyspace.clear(),
  "clear of a range": keyspace.clear({ from: "" }),
  modify: keyspace.modify(key, () => [undefined, Storage.put("new")]),
  remove: keyspace.remove(key),
  removeMany: keyspace.removeMany(["a", key]),
  set: keyspace.set(key, "new"),
  "set with an expiry": keyspace.set(key, "new", 2e12),
  setMany: keyspace.setMany(entriesOf(["a", key, "z"], "new"))
})

const readsOf = (keyspace: Storage.Keyspace): Record<string, Operation> => ({
  entries: Stream.runDrain(keyspace.entries()),
  get: keyspace.get("k"),
  getMany: keyspace.getMany(["k"]),
  head: keyspace.head("k"),
  keys: keysOf(keyspace),
  stat: keyspace.stat()
})

describeUnless(unavailable, "modify on PostgreSQL", () => {
  for (const there of [true, false]) {
    it.scopedLive(`of a row that is ${there ? "there" : "absent"} has its fibers queue, and sums are exact`, () =>
      Effect.gen(function*() {
        const { keyspace } = yield* openFresh()
        if (there) yield* keyspace.set("k", "0")
        const answers = yield* Effect.all(numbers(20).map(() => keyspace.modify("k", add)), {
          concurrency: "unbounded"
        })
        deepStrictEqual(answers.sort((a, b) => a - b), numbers(20).map((i) => i + 1))
      }))
  }

  it.scopedLive("creates once what many create", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* openFresh()
      const create = (i: number) =>
        keyspace.modify("k", (entry) => Option.isNone(entry) ? [true, Storage.put(`${i}`)] : [false, Storage.keep])
      const created = yield* Effect.all(numbers(20).map(create), { concurrency: "unbounded" })
      deepStrictEqual(created.filter((won) => won).length, 1)
      deepStrictEqual(Option.getOrThrow(yield* keyspace.get("k")).value, `${created.indexOf(true)}`)
    }))

  it.scopedLive("that keeps leaves no trace", () =>
    Effect.gen(function*() {
      const { keyspace, other, sql, storage, table } = yield* openFresh()
      yield* keyspace.set("expired", "v", 1)
      const before = yield* other.unsafe(`SELECT *, xmin, xmax FROM ${table}`)
      const keep = (key: string) => keyspace.modify(key, () => [undefined, Storage.keep])
      const all = Effect.all([keep("absent"), keep("expired"), Effect.all(numbers(5).map(() => keep("absent")))], {
        concurrency: "unbounded"
      })
      yield* all
      yield* storage.transaction(all)
      yield* Effect.exit(keyspace.modify("absent", () => {
        throw new Error("no")
      }))
      const after = yield* other.unsafe(`SELECT *, xmin, xmax FROM ${table}`)
      // The lock is told by xmax until somebody tidies up; that is no trace that lasts.
      const lasting = (rows: typeof before) => rows.map((row) => ({ ...row, xmax: undefined }))
      deepStrictEqual(lasting(after), lasting(before))
      // In the user's own, nothing is rolled back.
      yield* sql.withTransaction(all)
      const contents = (rows: typeof before) => rows.map((row) => ({ ...row, xmax: undefined, xmin: undefined }))
      deepStrictEqual(contents(yield* other.unsafe(`SELECT *, xmin, xmax FROM ${table}`)), contents(before))
    }))

  it.scopedLive("of a row that another transaction creates waits for that", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, table } = yield* openFresh()
      const release = yield* holding(other, other.unsafe(`INSERT INTO ${table} (key, value) VALUES ('k', '7')`))
      const fiber = yield* Effect.fork(keyspace.modify("k", add))
      yield* blocked(other, applicationName, 1)
      yield* release
      deepStrictEqual(yield* Fiber.join(fiber), 8)
    }))
})

describeUnless(unavailable, "the lock time-out on PostgreSQL", () => {
  it.scopedLive("bounds the wait of each operation for a row, which then writes nothing", () =>
    Effect.gen(function*() {
      const { keyspace, other, storage, table } = yield* openOn(yield* impatient, { lockTimeout: "150 millis" })
      yield* keyspace.setMany(entriesOf(["a", "k", "z"]))
      const before = yield* rowsOf(other, table)
      yield* lockingRow(other, table, "k")
      const writes = { ...writesOf(keyspace, "k"), transaction: storage.transaction(keyspace.set("k", "new")) }
      for (const [name, write] of Object.entries(writes)) {
        const start = performance.now()
        deepStrictEqual([name, reasonOf(yield* Effect.flip(write))], [name, "Busy"])
        const elapsed = performance.now() - start
        assert.isAtLeast(elapsed, 140, name)
        assert.isBelow(elapsed, 3000, name)
        deepStrictEqual(yield* rowsOf(other, table), before)
      }
    }))

  it.scopedLive("is not left on the connections of the user", () =>
    Effect.gen(function*() {
      const config = withSettings(yield* freshSchema, { lock_timeout: "12345" })
      const { keyspace, other, sql, storage, table } = yield* openOn(config, {
        lockTimeout: "50 millis",
        maxConnections: 3
      })
      yield* keyspace.setMany(entriesOf(["a", "k", "z"]))
      const release = yield* lockingRow(other, table, "k")
      const use = Effect.suspend(() =>
        Effect.all([
          ...Object.values(writesOf(keyspace, "k")).map((write) => Effect.exit(write)),
          ...Object.values(readsOf(keyspace)).map((read) => Effect.exit(read)),
          Effect.exit(storage.transaction(keyspace.set("k", "v"))),
          Effect.exit(sql.withTransaction(keyspace.set("free", "v"))),
          Effect.exit(keyspace.take({}, 1)),
          Effect.exit(keyspace.removeExpired({ limit: 1 })),
          Effect.exit(storage.keyspace("other"))
        ], { concurrency: "unbounded" })
      )
      yield* use
      yield* release
      yield* use
      deepStrictEqual(
        yield* onEach(sql, 3, (run) => run("SHOW lock_timeout")),
        numbers(3).map(() => [{ lock_timeout: "12345ms" }])
      )
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`SET LOCAL lock_timeout = '77ms'`
        yield* keyspace.set("l", "v")
        yield* storage.transaction(keyspace.set("l", "v"))
        deepStrictEqual(yield* sql`SHOW lock_timeout`, [{ lock_timeout: "77ms" }])
      }))
    }))

  it.scopedLive("bounds the wait for a connection", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* openFresh({ lockTimeout: "150 millis", maxConnections: 1 })
      yield* keyspace.set("k", "v")
      const release = yield* holdingAll(sql, 1)
      const all = {
        ...writesOf(keyspace, "k"),
        ...readsOf(keyspace),
        keyspace: storage.keyspace("other"),
        transaction: storage.transaction(Effect.void)
      }
      const start = performance.now()
      const reasons = yield* Effect.forEach(
        Object.entries<Operation>(all),
        ([name, operation]) => Effect.map(Effect.flip(operation), (error) => [name, reasonOf(error)] as const),
        { concurrency: "unbounded" }
      )
      assert.isAtLeast(performance.now() - start, 140)
      assert.isBelow(performance.now() - start, 3000)
      deepStrictEqual(reasons, Object.keys(all).map((name) => [name, "Busy"] as const))
      yield* release
      deepStrictEqual(Option.getOrThrow(yield* keyspace.get("k")).value, "v")
    }))
})

describeUnless(unavailable, "interruption on PostgreSQL", () => {
  it.scopedLive("of 1,000 that wait for a connection leaks none", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, sql, storage } = yield* openFresh({ maxConnections: 2 })
      const release = yield* holdingAll(sql, 2)
      const fibers = yield* Effect.forEach(numbers(1000), (i) => {
        const waits: Effect.Effect<unknown, unknown> = i % 3 === 0
          ? keyspace.get("k")
          : i % 3 === 1
          ? keyspace.set(`k${i}`, "v")
          : storage.transaction(keyspace.set(`k${i}`, "v"))
        return Effect.fork(waits)
      })
      yield* Effect.sleep(1)
      // Some give up while the connections are given back.
      yield* Fiber.interruptAll(fibers.slice(0, 900))
      const rest = yield* Effect.fork(Fiber.interruptAll(fibers.slice(900)))
      yield* release
      yield* Fiber.join(rest)
      deepStrictEqual(yield* onEach(sql, 2, (run) => run("SELECT 1 AS n")), [[{ n: 1 }], [{ n: 1 }]])
      const opened = other`SELECT state FROM pg_stat_activity WHERE application_name = ${applicationName}`
      yield* until(opened, (rows) => rows.length <= 2 && rows.every(({ state }) => state === "idle"))
      for (const key of yield* keysOf(keyspace)) assert.isAtLeast(Number(key.slice(1)), 900)
      yield* keyspace.set("after", "v")
    }))

  it.scopedLive("leaves a read alone that is under way, and the pool is whole afterwards", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, sql, table } = yield* openFresh({ lockTimeout: "20 seconds" })
      yield* keyspace.set("k", "v")
      const release = yield* holding(other, other.unsafe(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`))
      const reads = Object.values(readsOf(keyspace))
      const fibers = yield* Effect.forEach(reads, (read) => Effect.fork(read))
      yield* blocked(other, applicationName, reads.length)
      const start = performance.now()
      const exit = yield* Fiber.interruptAll(fibers).pipe(Effect.zipRight(Fiber.await(fibers[0]!)))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isBelow(performance.now() - start, 3000)
      yield* release
      deepStrictEqual(yield* onEach(sql, 10, (run) => run("SELECT 1 AS n")), numbers(10).map(() => [{ n: 1 }]))
      deepStrictEqual(Option.getOrThrow(yield* keyspace.get("k")).value, "v")
    }))

  it.scopedLive("of reads hits nobody else's statements", () =>
    Effect.gen(function*() {
      const { keyspace, sql } = yield* openFresh({ maxConnections: 4 })
      const interrupted = Effect.gen(function*() {
        for (let i = 0; i < 60; i++) {
          const fiber = yield* Effect.fork(keyspace.get("k"))
          yield* Effect.sleep(i % 3)
          yield* Fiber.interrupt(fiber)
        }
      })
      const steady = Effect.repeatN(sql`SELECT 1`, 60)
      const [, exits] = yield* Effect.all([
        Effect.all(numbers(3).map(() => interrupted), { concurrency: "unbounded" }),
        Effect.all(numbers(4).map(() => Effect.exit(steady)), { concurrency: "unbounded" })
      ], { concurrency: 2 })
      deepStrictEqual(exits.filter(Exit.isFailure), [])
    }))
})

describeUnless(unavailable, "what others hold locked on PostgreSQL", () => {
  it.scopedLive("is skipped by take", () =>
    Effect.gen(function*() {
      const { keyspace, other, table } = yield* Effect.flatMap(impatient, (config) => openOn(config))
      yield* keyspace.setMany(entriesOf(["a", "b", "c"]))
      const release = yield* lockingRow(other, table, "a")
      const keys = Effect.map(keyspace.take({}, 1), (taken) => taken.map(({ key }) => key))
      deepStrictEqual(yield* keys, ["b"])
      yield* release
      deepStrictEqual(yield* keys, ["a"])
    }))

  it.scopedLive("is skipped by the sweep", () =>
    Effect.gen(function*() {
      const { keyspace, other, storage, table } = yield* Effect.flatMap(impatient, (config) => openOn(config))
      yield* keyspace.setMany(["a", "b", "c"].map((key) => ({ expiresAt: 1, key, value: "v" })))
      const release = yield* lockingRow(other, table, "b")
      deepStrictEqual(yield* keyspace.removeExpired({ limit: 10 }), { more: false, removed: 2 })
      yield* release
      deepStrictEqual(yield* storage.maintenance.compact, 1)
      deepStrictEqual(yield* rowsOf(other, table), [])
    }))

  it.scopedLive("is given to one of many who take, or sweep", () =>
    Effect.gen(function*() {
      const { keyspace, other, storage, table } = yield* openFresh()
      const keys = numbers(200).map((i) => `k${String(i).padStart(3, "0")}`)
      yield* keyspace.setMany(entriesOf(keys))
      const taker = (transaction: boolean): Effect.Effect<ReadonlyArray<string>, unknown> =>
        Effect.gen(function*() {
          const all: Array<string> = []
          for (;;) {
            const take = keyspace.take({}, 7)
            const taken = yield* transaction ? storage.transaction(take, { retry: true }) : take
            if (taken.length === 0) return all
            all.push(...taken.map(({ key }) => key))
          }
        })
      const taken = yield* Effect.all(numbers(8).map((i) => taker(i === 0)), { concurrency: "unbounded" })
      deepStrictEqual(taken.flat().sort(), keys)

      yield* keyspace.setMany(keys.map((key) => ({ expiresAt: 1, key, value: "v" })))
      const swept = yield* Effect.all(
        numbers(8).map(() =>
          Effect.repeat(
            keyspace.removeExpired({ limit: 7 }),
            { until: ({ more }) => !more }
          ).pipe(Effect.zipRight(storage.maintenance.compact))
        ),
        { concurrency: "unbounded" }
      )
      assert.isAtMost(swept.reduce((sum, count) => sum + count, 0), 200)
      deepStrictEqual(yield* rowsOf(other, table), [])
    }))
})

describeUnless(databasesUnavailable, "writes of many keys on PostgreSQL", () => {
  it.scopedLive("by many fibers do not wait for each other in a circle", () =>
    Effect.gen(function*() {
      const config = withSettings(yield* freshDatabase, { deadlock_timeout: "20ms" })
      const keys = numbers(120).map((i) => `k${i}`)
      const deadlocks = (
        use: (keyspace: Storage.Keyspace, shuffled: Array<string>) => Effect.Effect<unknown, unknown>
      ) =>
        Effect.scoped(Effect.gen(function*() {
          const { keyspace } = yield* openOn(config)
          yield* keyspace.setMany(entriesOf(keys))
          const round = Effect.flatMap(
            Random.shuffle(keys),
            (shuffled) => use(keyspace, Chunk.toArray(shuffled).slice(0, 80))
          )
          yield* Effect.all(numbers(6).map(() => Effect.repeatN(round, 5)), { concurrency: "unbounded", discard: true })
        })).pipe(
          // A server process tells what it counted when it ends.
          Effect.zipRight(Effect.scoped(Effect.flatMap(clientOf(config), (sql) =>
            Effect.zipRight(
              until(
                sql`SELECT FROM pg_stat_activity WHERE datname = current_database()`,
                (rows) => rows.length === 1
              ),
              sql<{ readonly deadlocks: string }>`SELECT deadlocks FROM pg_stat_database
                WHERE datname = current_database()`
            ))))
        )
      deepStrictEqual(yield* deadlocks((keyspace, keys) => keyspace.setMany(entriesOf(keys))), [{ deadlocks: "0" }])
      deepStrictEqual(
        yield* deadlocks((keyspace, keys) =>
          Effect.zipRight(keyspace.removeMany(keys), keyspace.setMany(entriesOf(keys)))
        ),
        [{ deadlocks: "0" }]
      )
      // All of them, some of which may have to try again.
      yield* deadlocks((keyspace, keys) =>
        Effect.all([
          keyspace.setMany(entriesOf(keys)),
          keyspace.removeMany(keys.slice(0, 40)),
          keyspace.clear({ from: "k5" }),
          keyspace.clear()
        ])
      )
    }))
})
