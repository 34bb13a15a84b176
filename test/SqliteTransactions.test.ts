import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Context, Deferred, Effect, Exit, Fiber, FiberId, Layer, Option, Random, Scope } from "effect"
import { Storage, StorageError } from "effect-kv"
import { keysOf, open, tempFile } from "./support.js"

const reasonOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => error instanceof StorageError.StorageError ? error.reason : error)

const valueOf = (keyspace: Storage.Keyspace, key: string) =>
  Effect.map(keyspace.get(key), (entry) => Option.getOrUndefined(Option.map(entry, ({ value }) => value)))

/** A file with a store and a table of the user's. */
const opened = Effect.gen(function*() {
  const filename = yield* tempFile
  const { sql, storage } = yield* open({ filename })
  yield* sql`CREATE TABLE log (message TEXT NOT NULL)`
  return { filename, keyspace: yield* storage.keyspace("settings"), sql, storage }
})

type Opened = Effect.Effect.Success<typeof opened>

const messages = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ readonly message: string }>`SELECT message FROM log ORDER BY message`,
    (rows) => rows.map(({ message }) => message)
  )

const log = (sql: SqlClient.SqlClient, message: string) => sql`INSERT INTO log (message) VALUES (${message})`

/** Lets fibers be cut off, and others come in between, nearly everywhere. With less, Effect itself does not get on. */
const finely = Effect.withMaxOpsBeforeYield(16)

const yields = (times: number) =>
  Effect.gen(function*() {
    for (let i = 0; i < times; i++) yield* Effect.yieldNow()
  })

type Transaction = <A, E, R>(
  self: Effect.Effect<A, E, R>
) => Effect.Effect<A, E | StorageError.StorageError | SqlError, R>

describe("a transaction", () => {
  const kinds: Record<string, (storage: Storage.Storage["Type"], sql: SqlClient.SqlClient) => Transaction> = {
    "Storage.transaction": (storage) => storage.transaction,
    "sql.withTransaction": (_, sql) => sql.withTransaction
  }

  for (const [name, kind] of Object.entries(kinds)) {
    const prepared = Effect.map(opened, (opened) => {
      const transaction = kind(opened.storage, opened.sql)
      const both = (key: string) => Effect.zipRight(opened.keyspace.set(key, "x"), log(opened.sql, key))
      /** What the store and the table hold; both must be the same. */
      const held = Effect.gen(function*() {
        const keys = yield* keysOf(opened.keyspace)
        deepStrictEqual(yield* messages(opened.sql), keys)
        return keys
      })
      return { ...opened, both, held, transaction }
    })

    it.scopedLive(`${name} commits the store and the user's SQL when it succeeds, and gives the result`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        assert.strictEqual(yield* transaction(Effect.as(both("a"), 42)), 42)
        deepStrictEqual(yield* held, ["a"])
      }))

    it.scopedLive(`${name} sees its own writes`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        deepStrictEqual(yield* transaction(Effect.zipRight(both("a"), held)), ["a"])
      }))

    it.scopedLive(`${name} rolls back when it fails, and passes the failure on`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        assert.strictEqual(yield* Effect.flip(transaction(Effect.zipRight(both("a"), Effect.fail("undo")))), "undo")
        deepStrictEqual(yield* held, [])
      }))

    it.scopedLive(`${name} rolls back when it dies, and passes the defect on`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        const exit = yield* Effect.exit(transaction(Effect.zipRight(both("a"), Effect.die("bug"))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        deepStrictEqual(yield* held, [])
      }))

    it.scopedLive(`${name} rolls back when the body throws before it is an effect`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        const exit = yield* Effect.exit(transaction(Effect.flatMap(both("a"), (): Effect.Effect<void> => {
          throw new Error("bug")
        })))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        deepStrictEqual(yield* held, [])
      }))

    it.scopedLive(`${name} rolls back when it is interrupted`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        const written = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          transaction(
            both("a").pipe(Effect.zipRight(Deferred.succeed(written, undefined)), Effect.zipRight(Effect.never))
          )
        )
        yield* Deferred.await(written)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        deepStrictEqual(yield* held, [])
        yield* transaction(both("b"))
        deepStrictEqual(yield* held, ["b"])
      }))

    for (const [inner, nested] of Object.entries(kinds)) {
      it.scopedLive(`${inner} in ${name} is a savepoint: undone alone, or together`, () =>
        Effect.gen(function*() {
          const { both, held, sql, storage, transaction } = yield* prepared
          const savepoint = nested(storage, sql)
          yield* transaction(Effect.gen(function*() {
            yield* both("a")
            yield* Effect.flip(savepoint(Effect.gen(function*() {
              yield* both("b")
              yield* savepoint(both("c"))
              return yield* Effect.fail("undo")
            })))
            yield* savepoint(
              Effect.zipRight(both("d"), Effect.ignore(savepoint(Effect.zipRight(both("e"), Effect.fail(0)))))
            )
          }))
          deepStrictEqual(yield* held, ["a", "d"])
          yield* Effect.flip(transaction(Effect.zipRight(savepoint(both("f")), Effect.fail("undo"))))
          deepStrictEqual(yield* held, ["a", "d"])
        }))
    }

    it.scopedLive(`siblings nested in ${name} do not tear each other's savepoints`, () =>
      Effect.gen(function*() {
        const { both, held, transaction } = yield* prepared
        const sibling = (key: string) =>
          transaction(Effect.gen(function*() {
            yield* both(`${key} 1`)
            yield* Effect.sleep("1 millis")
            yield* both(`${key} 2`)
            if (key === "bad") return yield* Effect.fail("undo")
          }))
        const exits = yield* transaction(
          Effect.all(["bad", "good", "well"].map((key) => Effect.exit(sibling(key))), { concurrency: "unbounded" })
        )
        deepStrictEqual(exits.map(Exit.isSuccess), [false, true, true])
        deepStrictEqual(yield* held, ["good 1", "good 2", "well 1", "well 2"])
      }))

    it.scopedLive(`a fiber that outlives ${name} fails as Closed, and what it wanted to write is not there`, () =>
      Effect.gen(function*() {
        const { held, keyspace, sql, storage, transaction } = yield* prepared
        const over = yield* Effect.makeLatch()
        const late = Effect.gen(function*() {
          yield* over.await
          const entry = { expiresAt: undefined, key: "late", value: "x" }
          return {
            get: yield* reasonOf(keyspace.get("late")),
            nested: yield* reasonOf(storage.transaction(keyspace.set("late", "x"))),
            open: yield* reasonOf(storage.keyspace("late")),
            set: yield* reasonOf(keyspace.set("late", "x")),
            setMany: yield* reasonOf(keyspace.setMany([entry])),
            sql: yield* Effect.flip(log(sql, "late")),
            sqlNested: yield* Effect.flip(sql.withTransaction(log(sql, "late")))
          }
        })
        for (const outcome of [Effect.void, Effect.fail("undo")]) {
          const fiber = yield* Deferred.make<Fiber.Fiber<Effect.Effect.Success<typeof late>, unknown>>()
          yield* Effect.exit(transaction(
            Effect.forkDaemon(late).pipe(
              Effect.flatMap((late) => Deferred.succeed(fiber, late)),
              Effect.zipRight(outcome)
            )
          ))
          yield* over.open
          const { sql: sqlError, sqlNested, ...reasons } = yield* Fiber.join(yield* Deferred.await(fiber))
          deepStrictEqual(reasons, {
            get: "Closed",
            nested: "Closed",
            open: "Closed",
            set: "Closed",
            setMany: "Closed"
          })
          assert.instanceOf(sqlError, SqlError)
          assert.instanceOf(sqlNested, SqlError)
          yield* over.close
        }
        deepStrictEqual(yield* held, [])
      }))

    it.scopedLive(`what 50 fibers were told is written survives ${name}s that are rolled back meanwhile`, () =>
      Effect.gen(function*() {
        const { filename, keyspace, sql, transaction } = yield* prepared
        const told: Array<string> = []
        const writer = (i: number) =>
          Effect.gen(function*() {
            for (let j = 0; j < 6; j++) {
              const key = `${i} ${j}`
              yield* j % 3 === 0
                ? keyspace.setMany([{ expiresAt: undefined, key, value: "x" }])
                : j % 3 === 1
                ? keyspace.modify(key, () => [undefined, Storage.put("x")])
                : keyspace.set(key, "x")
              told.push(key)
              if ((yield* Random.nextIntBetween(0, 3)) === 0) yield* Effect.sleep("1 millis")
            }
          })
        const undone = Effect.flip(transaction(Effect.gen(function*() {
          yield* log(sql, "undone")
          yield* Effect.yieldNow()
          yield* keyspace.set("undone", "x")
          yield* Effect.sleep("1 millis")
          yield* log(sql, "undone")
          return yield* Effect.fail("undo")
        })))
        yield* Effect.all([
          Effect.repeatN(undone, 9),
          Effect.forEach(Array.from({ length: 50 }, (_, i) => i), writer, { concurrency: "unbounded", discard: true })
        ], { concurrency: "unbounded" })
        assert.lengthOf(told, 300)
        const again = yield* open({ filename })
        const keys = yield* keysOf(yield* again.storage.keyspace("settings"))
        deepStrictEqual(keys, told.sort())
        deepStrictEqual(yield* messages(again.sql), [])
      }).pipe(finely))

    it.scopedLive(`${name} whose COMMIT fails is an error, leaves nothing, and the connection goes on`, () =>
      Effect.gen(function*() {
        const { both, held, sql, transaction } = yield* prepared
        yield* sql`CREATE TABLE parent (id INTEGER PRIMARY KEY)`
        yield* sql`CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`
        const broken = transaction(Effect.zipRight(both("a"), sql`INSERT INTO child (parent) VALUES (1)`))
        const error = yield* Effect.flip(broken)
        assert.include(["StorageError", "SqlError"], error._tag)
        deepStrictEqual(yield* held, [])
        yield* transaction(both("b"))
        deepStrictEqual(yield* held, ["b"])
      }))

    it.scopedLive(`${name} that a statement itself rolled back fails, and nothing after that is written`, () =>
      Effect.gen(function*() {
        const { both, held, sql, transaction } = yield* prepared
        yield* sql`CREATE TABLE once (id INTEGER PRIMARY KEY)`
        yield* sql`INSERT INTO once (id) VALUES (1)`
        yield* Effect.flip(transaction(Effect.gen(function*() {
          yield* both("a")
          yield* Effect.flip(sql`INSERT OR ROLLBACK INTO once (id) VALUES (1)`)
          yield* Effect.ignore(both("b"))
        })))
        deepStrictEqual(yield* held, [])
        yield* transaction(both("c"))
        deepStrictEqual(yield* held, ["c"])
      }))

    it.scopedLive(`${name} in which the database gets full fails as a whole, and works again when there is room`, () =>
      Effect.gen(function*() {
        const { both, held, keyspace, sql, transaction } = yield* prepared
        yield* both("before")
        const [{ page_count: pages = 0 } = {}] = yield* sql<{ readonly page_count: number }>`PRAGMA page_count`
        yield* sql.unsafe(`PRAGMA max_page_count = ${pages + 3}`)
        const large = "x".repeat(1 << 20)
        // Who takes the failure for harmless must not commit the rest either.
        const reasons: Array<unknown> = []
        const body = Effect.gen(function*() {
          yield* both("a")
          reasons.push(yield* reasonOf(keyspace.set("large", large)))
          yield* Effect.ignore(both("b"))
        })
        const error = yield* Effect.flip(transaction(body))
        deepStrictEqual(reasons, ["Full"])
        if (error instanceof StorageError.StorageError) assert.strictEqual(error.reason, "Full")
        else assert.instanceOf(error, SqlError)
        deepStrictEqual(yield* held, ["before"])
        // Alone, and among several writers of one turn.
        assert.strictEqual(yield* reasonOf(keyspace.set("large", large)), "Full")
        yield* Effect.all([keyspace.set("1", large), keyspace.set("2", large)].map(Effect.exit), { concurrency: 2 })
        deepStrictEqual(yield* held, ["before"])
        yield* sql.unsafe("PRAGMA max_page_count = 100000")
        yield* transaction(both("after"))
        yield* keyspace.set("large", large)
        yield* log(sql, "large")
        deepStrictEqual(yield* held, ["after", "before", "large"])
      }))
  }

  it.scopedLive("keeps fibers outside of it waiting, also for reading, and they see it whole", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* opened
      const entered = yield* Effect.makeLatch()
      const leave = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(storage.transaction(Effect.gen(function*() {
        yield* keyspace.set("a", "x")
        yield* log(sql, "a")
        yield* entered.open
        yield* leave.await
        yield* keyspace.set("b", "x")
      })))
      yield* entered.await
      const readers = yield* Effect.fork(Effect.all([keysOf(keyspace), messages(sql)], { concurrency: 2 }))
      yield* yields(20)
      assert.isTrue(Option.isNone(yield* Fiber.poll(readers)))
      yield* leave.open
      yield* Fiber.join(fiber)
      deepStrictEqual(yield* Fiber.join(readers), [["a", "b"], ["a"]])
    }))

  it.scopedLive("has the fibers that it starts itself write in it", () =>
    Effect.gen(function*() {
      const { keyspace, storage } = yield* opened
      const write = Effect.forEach(["a", "b", "c"], (key) => keyspace.set(key, "x"), { concurrency: "unbounded" })
      yield* Effect.flip(storage.transaction(Effect.zipRight(write, Effect.fail("undo"))))
      deepStrictEqual(yield* keysOf(keyspace), [])
      yield* storage.transaction(write)
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b", "c"])
    }))
})

describe("several clients and Storages", () => {
  it.scopedLive("a transaction of another client is not one of this store's", () =>
    Effect.gen(function*() {
      const first = yield* opened
      const second = yield* opened
      yield* Effect.flip(second.sql.withTransaction(Effect.gen(function*() {
        yield* second.keyspace.set("theirs", "x")
        yield* first.keyspace.set("ours", "x")
        yield* first.storage.transaction(first.keyspace.setMany([{ expiresAt: undefined, key: "more", value: "x" }]))
        return yield* Effect.fail("undo")
      })))
      deepStrictEqual(yield* keysOf(first.keyspace), ["more", "ours"])
      deepStrictEqual(yield* keysOf(second.keyspace), [])
    }))

  it.scopedLive("transactions of two clients nest in each other, each with its own outcome", () =>
    Effect.gen(function*() {
      const first = yield* opened
      const second = yield* opened
      yield* second.storage.transaction(Effect.gen(function*() {
        yield* second.keyspace.set("a", "x")
        yield* Effect.flip(first.storage.transaction(Effect.gen(function*() {
          yield* first.keyspace.set("b", "x")
          yield* second.keyspace.set("c", "x")
          return yield* Effect.fail("undo")
        })))
      }))
      deepStrictEqual(yield* keysOf(first.keyspace), [])
      deepStrictEqual(yield* keysOf(second.keyspace), ["a", "c"])
    }))

  it.scopedLive("two Storages on one client share its gate and its transactions", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* opened
      const other = Context.get(
        yield* Effect.provideService(Layer.build(Storage.layer({ sweep: false })), SqlClient.SqlClient, sql),
        Storage.Storage
      )
      const theirs = yield* other.keyspace("settings")
      yield* Effect.flip(
        storage.transaction(Effect.zipRight(other.transaction(theirs.set("undone", "x")), Effect.fail("undo")))
      )
      deepStrictEqual(yield* keysOf(keyspace), [])
      const entered = yield* Effect.makeLatch()
      const leave = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(Effect.flip(storage.transaction(
        Effect.all([keyspace.set("undone", "x"), entered.open, leave.await, Effect.fail("undo")])
      )))
      yield* entered.await
      const writing = yield* Effect.fork(theirs.set("kept", "x"))
      yield* yields(20)
      assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
      yield* leave.open
      yield* Fiber.join(fiber)
      yield* Fiber.join(writing)
      deepStrictEqual(yield* keysOf(keyspace), ["kept"])
    }))
})

describe("keyspaces and reserved connections", () => {
  it.scopedLive("a keyspace opened in a transaction that is rolled back can be opened and used afterwards", () =>
    Effect.gen(function*() {
      const { storage } = yield* opened
      yield* Effect.flip(storage.transaction(Effect.gen(function*() {
        const keyspace = yield* storage.keyspace("new")
        yield* keyspace.set("a", "x")
        deepStrictEqual(yield* keysOf(keyspace), ["a"])
        return yield* Effect.fail("undo")
      })))
      // Takes the place in the catalog that the other would have had.
      const other = yield* storage.keyspace("other")
      const keyspace = yield* storage.keyspace("new")
      deepStrictEqual(yield* keysOf(keyspace), [])
      yield* keyspace.set("b", "x")
      yield* other.set("c", "x")
      deepStrictEqual(yield* keysOf(keyspace), ["b"])
      deepStrictEqual(yield* keysOf(other), ["c"])
    }))

  it.scopedLive("a keyspace that was rolled back is not another one of a similar name", () =>
    Effect.gen(function*() {
      const { storage } = yield* opened
      const leaked = yield* Deferred.make<Storage.Keyspace>()
      yield* Effect.flip(storage.transaction(Effect.gen(function*() {
        yield* Deferred.succeed(leaked, yield* storage.keyspace("similar"))
        return yield* Effect.fail("undo")
      })))
      const other = yield* storage.keyspace("SIMILAR")
      yield* Effect.ignore((yield* Deferred.await(leaked)).set("a", "x"))
      deepStrictEqual(yield* keysOf(other), [])
    }))

  it.scopedLive("sql.reserve keeps everybody else waiting for as long as its scope lives", () =>
    Effect.gen(function*() {
      const { keyspace, sql } = yield* opened
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(sql.reserve, scope)
      yield* connection.executeUnprepared("BEGIN", [], undefined)
      const writing = yield* Effect.fork(
        Effect.all([keyspace.set("a", "x"), log(sql, "a"), keyspace.set("b", "x")], { concurrency: "unbounded" })
      )
      yield* yields(20)
      assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
      yield* connection.execute("INSERT INTO log (message) VALUES (?)", ["undone"], undefined)
      yield* connection.executeUnprepared("ROLLBACK", [], undefined)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(writing)
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b"])
      deepStrictEqual(yield* messages(sql), ["a"])
    }))

  it.scopedLive("sql.reserve in a transaction keeps that transaction's other fibers waiting", () =>
    Effect.gen(function*() {
      const { keyspace, sql, storage } = yield* opened
      yield* storage.transaction(Effect.gen(function*() {
        const writing = yield* Effect.scoped(Effect.gen(function*() {
          const connection = yield* sql.reserve
          const writing = yield* Effect.forkDaemon(keyspace.set("a", "x"))
          yield* yields(20)
          assert.isTrue(Option.isNone(yield* Fiber.poll(writing)))
          yield* connection.execute("INSERT INTO log (message) VALUES (?)", ["in it"], undefined)
          return writing
        }))
        yield* Fiber.join(writing)
      }))
      deepStrictEqual(yield* keysOf(keyspace), ["a"])
      deepStrictEqual(yield* messages(sql), ["in it"])
    }))
})

describe("several writers of one turn", () => {
  /** The database refuses one key. */
  const refusing = Effect.gen(function*() {
    const result = yield* opened
    yield* result.keyspace.set("first", "x")
    const [{ name = "" } = {}] = yield* result.sql<{ readonly name: string }>`
      SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'kv_*_settings'`
    yield* result.sql.unsafe(
      `CREATE TRIGGER refuse BEFORE INSERT ON "${name}" WHEN NEW.key = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END`
    )
    return result
  })
  const many = (...keys: ReadonlyArray<string>) => keys.map((key) => ({ expiresAt: undefined, key, value: "x" }))

  it.scopedLive("a write that fails does not take those with it that it happens to be written with", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* refusing
      const exits = yield* Effect.all(
        ["a", "b", "bad", "c"].map((key) => Effect.exit(keyspace.set(key, "x"))),
        { concurrency: "unbounded" }
      )
      deepStrictEqual(exits.map(Exit.isSuccess), [true, true, false, true])
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b", "c", "first"])
    }))

  it.scopedLive("a setMany that fails leaves nothing, alone and among other writers", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* refusing
      // Five rows are one statement, the sixth is another.
      const failing = keyspace.setMany(many("1", "2", "3", "4", "5", "bad"))
      yield* Effect.flip(failing)
      deepStrictEqual(yield* keysOf(keyspace), ["first"])
      const exits = yield* Effect.all(
        [keyspace.set("a", "x"), failing, keyspace.set("b", "x")].map(Effect.exit),
        { concurrency: "unbounded" }
      )
      deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b", "first"])
    }))

  it.scopedLive("a modify whose function throws dies alone", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* opened
      const throwing = keyspace.modify("bad", () => {
        throw new Error("bug")
      })
      const exits = yield* Effect.all(
        [keyspace.set("a", "x"), throwing, keyspace.set("b", "x")].map(Effect.exit),
        { concurrency: "unbounded" }
      )
      deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.isTrue(Exit.isFailure(exits[1]!) && Cause.isDie(exits[1].cause))
      deepStrictEqual(yield* keysOf(keyspace), ["a", "b"])
    }))
})

describe("interruption", () => {
  /** Starts the write, interrupts it after that many yields, and tells how it ended. */
  const cut = <A, E>(write: Effect.Effect<A, E>, after: number) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(finely(write))
      yield* yields(after)
      yield* Fiber.interruptAsFork(fiber, FiberId.none)
      return yield* Fiber.await(fiber)
    })

  const entries = ["a", "b"].map((key) => ({ expiresAt: undefined, key, value: "" }))

  const writes: Record<
    string,
    (all: Opened, value: string) => Effect.Effect<void, unknown>
  > = {
    "a transaction of two writes": ({ keyspace, storage }, value) =>
      storage.transaction(Effect.zipRight(keyspace.set("a", value), keyspace.set("b", value))),
    "a transaction of the user's SQL": ({ keyspace, sql }, value) =>
      sql.withTransaction(Effect.all([
        keyspace.set("a", value),
        sql`SELECT 1`,
        sql.withTransaction(keyspace.set("b", value))
      ], { discard: true })),
    "a setMany": ({ keyspace }, value) => keyspace.setMany(entries.map((entry) => ({ ...entry, value }))),
    "a setMany among other writers": ({ keyspace }, value) =>
      Effect.all([
        keyspace.set("other", value),
        keyspace.setMany(entries.map((entry) => ({ ...entry, value }))),
        keyspace.modify("another", () => [undefined, Storage.put(value)])
      ], { concurrency: "unbounded", discard: true })
  }

  for (const [name, write] of Object.entries(writes)) {
    it.scopedLive(`${name} is done whole or not at all, wherever it is cut off, and the gate is free again`, () =>
      Effect.gen(function*() {
        const all = yield* opened
        const { keyspace } = all
        let interrupted = 0
        let written = 0
        for (let after = 0; after <= 50; after++) {
          const value = String(after)
          const exit = yield* cut(write(all, value), after)
          // Waits for what may still be under way.
          yield* keyspace.set("next", value).pipe(Effect.timeout("5 seconds"))
          const both = [yield* valueOf(keyspace, "a"), yield* valueOf(keyspace, "b")]
          assert.strictEqual(both[0], both[1], `after ${after} yields`)
          if (both[0] === value) written++
          if (Exit.isSuccess(exit)) assert.strictEqual(both[0], value, `after ${after} yields`)
          else {
            interrupted++
            assert.isTrue(Cause.isInterruptedOnly(exit.cause), Cause.pretty(exit.cause))
          }
        }
        assert.isAbove(interrupted, 0)
        assert.isAbove(written, 0)
      }))
  }

  it.scopedLive("a set is there if its fiber was told so, wherever it is cut off, and the gate is free again", () =>
    Effect.gen(function*() {
      const { keyspace, storage } = yield* opened
      let told = 0
      for (let after = 0; after <= 50; after++) {
        const value = String(after)
        // Behind a transaction, so that there is something to wait for.
        const leave = yield* Effect.makeLatch()
        const holder = yield* Effect.fork(storage.transaction(leave.await))
        yield* yields(5)
        const cutting = yield* Effect.fork(cut(keyspace.set("a", value), after))
        yield* yields(after % 7 * 4)
        yield* leave.open
        yield* Fiber.join(holder)
        const exit = yield* Fiber.join(cutting)
        yield* keyspace.set("next", value).pipe(Effect.timeout("5 seconds"))
        if (Exit.isSuccess(exit)) {
          told++
          assert.strictEqual(yield* valueOf(keyspace, "a"), value)
        }
      }
      assert.isAbove(told, 0)
      assert.isBelow(told, 51)
    }))

  it.scopedLive("a fiber that stops waiting for its turn gives its place up", () =>
    Effect.gen(function*() {
      const { keyspace, storage } = yield* opened
      const entered = yield* Effect.makeLatch()
      const leave = yield* Effect.makeLatch()
      const holder = yield* Effect.fork(storage.transaction(Effect.zipRight(entered.open, leave.await)))
      yield* entered.await
      const waiting = yield* Effect.forEach(
        ["a", "b", "c"],
        (key) => Effect.fork(storage.transaction(keyspace.set(key, "x")))
      )
      yield* yields(20)
      // Ends at once, although the transaction before it does not.
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(waiting[1]!)))
      yield* leave.open
      yield* Fiber.join(holder)
      yield* Fiber.join(waiting[0]!)
      yield* Fiber.join(waiting[2]!)
      deepStrictEqual(yield* keysOf(keyspace), ["a", "c"])
    }))
})
