import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import Database from "better-sqlite3"
import {
  Config,
  ConfigError,
  ConfigProvider,
  Context,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Option,
  Predicate,
  Scope
} from "effect"
import { Sqlite, Storage, StorageError } from "effect-kv"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { keysOf, open, openSqlite, tempFile, tempFolder } from "./support.js"

const read = (sql: SqlClient.SqlClient, name: string) =>
  Effect.map(sql.unsafe(`PRAGMA ${name}`), (rows) => Object.values(rows[0] ?? {})[0])

/** The reason of a failure; what is no `StorageError` is given as it is. */
const reasonOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => error instanceof StorageError.StorageError ? error.reason : error)

const mode = (file: string) => fs.statSync(file).mode & 0o777

/** Opens and closes a database that another program made. */
const prepared = (file: string, script: string) =>
  Effect.sync(() => {
    const db = new Database(file)
    db.exec(script)
    db.close()
  })

/** Runs with another home folder. */
const withHome = <A, E, R>(home: string, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const before = process.env.HOME
      process.env.HOME = home
      return before
    }),
    () => effect,
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env.HOME
        else process.env.HOME = before
      })
  )

describe("Sqlite options", () => {
  it.scopedLive("a new database has the documented defaults", () =>
    Effect.gen(function*() {
      const sql = yield* openSqlite({ filename: yield* tempFile })
      assert.strictEqual(yield* read(sql, "journal_mode"), "wal")
      assert.strictEqual(yield* read(sql, "synchronous"), 1)
      assert.strictEqual(yield* read(sql, "busy_timeout"), 0)
      assert.strictEqual(yield* read(sql, "auto_vacuum"), 2)
      assert.strictEqual(yield* read(sql, "page_size"), 4096)
      assert.strictEqual(yield* read(sql, "cache_size"), -16000)
      assert.strictEqual(yield* read(sql, "mmap_size"), 0)
      assert.strictEqual(yield* read(sql, "query_only"), 0)
    }))

  for (const journalMode of ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY"] as const) {
    it.scopedLive(`journalMode ${journalMode} takes, and a store works in it`, () =>
      Effect.gen(function*() {
        const { sql, storage } = yield* open({ filename: yield* tempFile, journalMode })
        assert.strictEqual(yield* read(sql, "journal_mode"), journalMode.toLowerCase())
        const keyspace = yield* storage.keyspace("settings")
        yield* storage.transaction(keyspace.set("theme", "dark"))
        deepStrictEqual(yield* keysOf(keyspace), ["theme"])
      }))
  }

  it.scopedLive("journalMode OFF, with which nothing could be rolled back, is refused as Incompatible", () =>
    Effect.gen(function*() {
      const off: unknown = "OFF"
      const reason = yield* reasonOf(openSqlite({ filename: yield* tempFile, journalMode: off as "WAL" }))
      assert.strictEqual(reason, "Incompatible")
    }))

  it.scopedLive("synchronous takes in each of its levels", () =>
    Effect.gen(function*() {
      for (const [level, synchronous] of (["OFF", "NORMAL", "FULL", "EXTRA"] as const).entries()) {
        const sql = yield* openSqlite({ filename: yield* tempFile, synchronous })
        assert.strictEqual(yield* read(sql, "synchronous"), level)
      }
    }))

  it.scopedLive("autoVacuum takes in each of its kinds", () =>
    Effect.gen(function*() {
      for (const [kind, autoVacuum] of (["NONE", "FULL", "INCREMENTAL"] as const).entries()) {
        const sql = yield* openSqlite({ autoVacuum, filename: yield* tempFile })
        yield* sql`CREATE TABLE log (message TEXT)`
        assert.strictEqual(yield* read(sql, "auto_vacuum"), kind)
      }
    }))

  it.scopedLive("cacheSize, mmapSize and pageSize are bytes", () =>
    Effect.gen(function*() {
      const sql = yield* openSqlite({
        cacheSize: 4 << 20,
        filename: yield* tempFile,
        mmapSize: 1 << 20,
        pageSize: 8192
      })
      yield* sql`CREATE TABLE log (message TEXT)`
      assert.strictEqual(yield* read(sql, "cache_size"), -4096)
      assert.strictEqual(yield* read(sql, "mmap_size"), 1 << 20)
      assert.strictEqual(yield* read(sql, "page_size"), 8192)
    }))

  it.scopedLive("sizes that SQLite does not take are refused as Incompatible", () =>
    Effect.gen(function*() {
      for (
        const options of [
          { pageSize: 1000 },
          { pageSize: -1 },
          { pageSize: 4096.5 },
          { cacheSize: -1 },
          { cacheSize: NaN },
          { mmapSize: Infinity },
          { mmapSize: 2 ** 50 }
        ]
      ) {
        const reason = yield* reasonOf(openSqlite({ ...options, filename: yield* tempFile }))
        assert.strictEqual(reason, "Incompatible", JSON.stringify(options))
      }
    }))

  it.scopedLive("words that are no option are refused as Incompatible and never become SQL", () =>
    Effect.gen(function*() {
      const attack: unknown = "WAL; CREATE TABLE attacked (x)"
      const options: ReadonlyArray<Partial<Sqlite.Options>> = [
        { journalMode: attack as "WAL" },
        { synchronous: attack as "FULL" },
        { autoVacuum: attack as "NONE" }
      ]
      for (const option of options) {
        const filename = yield* tempFile
        const error = yield* Effect.flip(openSqlite({ ...option, filename }))
        assert.strictEqual(error.reason, "Incompatible")
        assert.strictEqual(error.method, "open")
        assert.include(error.message, "is not one of")
        const tables = yield* Effect.sync(() => {
          const db = new Database(filename)
          const tables = db.prepare("SELECT name FROM sqlite_master").all()
          db.close()
          return tables
        })
        deepStrictEqual(tables, [])
      }
    }))

  it.scopedLive("a pageSize or autoVacuum that an existing database does not take is Incompatible", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* prepared(filename, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = NONE; CREATE TABLE log (message TEXT)")
      const pageSize = yield* Effect.flip(openSqlite({ filename, pageSize: 4096 }))
      assert.strictEqual(pageSize.reason, "Incompatible")
      assert.include(pageSize.message, "page_size")
      const autoVacuum = yield* Effect.flip(openSqlite({ autoVacuum: "INCREMENTAL", filename }))
      assert.strictEqual(autoVacuum.reason, "Incompatible")
      assert.include(autoVacuum.message, "auto_vacuum")
    }))

  it.scopedLive("an existing database keeps its own page size and auto_vacuum when none is asked for", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* prepared(filename, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = NONE; CREATE TABLE log (message TEXT)")
      const { sql, storage } = yield* open({ filename })
      assert.strictEqual(yield* read(sql, "page_size"), 8192)
      assert.strictEqual(yield* read(sql, "auto_vacuum"), 0)
      yield* Effect.flatMap(storage.keyspace("settings"), (keyspace) => keyspace.set("theme", "dark"))
    }))

  it.scopedLive("what an existing database already has can be asked for", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* prepared(filename, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = FULL; CREATE TABLE log (message TEXT)")
      const sql = yield* openSqlite({ autoVacuum: "FULL", filename, pageSize: 8192 })
      assert.strictEqual(yield* read(sql, "page_size"), 8192)
      assert.strictEqual(yield* read(sql, "auto_vacuum"), 1)
    }))

  /** The connection is reserved by somebody else, until the effect is done. */
  const whileReserved = <A, E, R>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.tap(Scope.make(), (scope) => Scope.extend(sql.reserve, scope)),
      () => effect,
      (scope) => Scope.close(scope, Exit.void)
    )

  it.scopedLive("lockTimeout is how long other fibers wait for the connection", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* open({ filename: ":memory:", lockTimeout: "20 millis" })
      const keyspace = yield* storage.keyspace("settings")
      yield* whileReserved(
        sql,
        Effect.gen(function*() {
          assert.strictEqual(yield* reasonOf(keyspace.get("theme")), "Busy")
          assert.strictEqual(yield* reasonOf(keyspace.set("theme", "dark")), "Busy")
          assert.strictEqual(yield* reasonOf(storage.transaction(Effect.void)), "Busy")
          assert.instanceOf(yield* Effect.flip(sql`SELECT 1`), SqlError)
        })
      )
      assert.isTrue(Option.isNone(yield* keyspace.get("theme")))
    }))

  it.scopedLive("maintenance waits no longer than lockTimeout either, and then fails as Busy", () =>
    Effect.gen(function*() {
      const { sql } = yield* open({ filename: ":memory:", lockTimeout: "20 millis" })
      const optimize = Effect.provideService(Sqlite.optimize, SqliteClient.SqliteClient, sql)
      assert.strictEqual(yield* whileReserved(sql, reasonOf(optimize)), "Busy")
    }))

  it.scopedLive("lockTimeout holds where nothing can be interrupted as well, for example in a finalizer", () =>
    Effect.gen(function*() {
      const { sql, storage } = yield* open({ filename: ":memory:", lockTimeout: "20 millis" })
      const keyspace = yield* storage.keyspace("settings")
      const result = yield* whileReserved(
        sql,
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(Effect.uninterruptible(reasonOf(keyspace.get("theme"))))
          return yield* Effect.timeoutOption(Fiber.join(fiber), "2 seconds")
        })
      )
      assert.strictEqual(Option.getOrUndefined(result), "Busy")
    }))
})

describe("Sqlite files", () => {
  it.scopedLive("~ is the home folder, for the database and for a backup", () =>
    Effect.gen(function*() {
      const home = yield* tempFolder
      yield* withHome(
        home,
        Effect.gen(function*() {
          const sql = yield* openSqlite({ filename: "~/app/data.db" })
          yield* sql`CREATE TABLE log (message TEXT)`
          yield* Effect.provideService(Sqlite.backup("~/copy.db"), SqliteClient.SqliteClient, sql)
        })
      )
      assert.isTrue(fs.existsSync(path.join(home, "app/data.db")))
      assert.isTrue(fs.existsSync(path.join(home, "copy.db")))
    }))

  it.scopedLive("missing parent folders and the files in them are made for their owner only", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const filename = path.join(folder, "a/b/data.db")
      const sql = yield* openSqlite({ filename })
      yield* sql`CREATE TABLE log (message TEXT)`
      assert.strictEqual(mode(path.join(folder, "a")), 0o700)
      assert.strictEqual(mode(path.join(folder, "a/b")), 0o700)
      for (const file of [filename, `${filename}-wal`, `${filename}-shm`]) assert.strictEqual(mode(file), 0o600, file)
    }))

  it.scopedLive("the rights of a folder and a file that exist are left as they are", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const filename = path.join(folder, "data.db")
      fs.chmodSync(folder, 0o755)
      yield* prepared(filename, "CREATE TABLE log (message TEXT)")
      fs.chmodSync(filename, 0o644)
      yield* openSqlite({ filename })
      assert.strictEqual(mode(folder), 0o755)
      assert.strictEqual(mode(filename), 0o644)
    }))

  it.scopedLive(":memory: is a database of its own for each scope, and makes no file", () =>
    Effect.gen(function*() {
      const first = yield* open({ filename: ":memory:" })
      const second = yield* open({ filename: ":memory:" })
      assert.strictEqual(yield* read(first.sql, "journal_mode"), "memory")
      yield* first.sql`CREATE TABLE log (message TEXT)`
      assert.lengthOf(yield* second.sql`SELECT name FROM sqlite_master WHERE name = 'log'`, 0)
      yield* Effect.flatMap(first.storage.keyspace("settings"), (keyspace) => keyspace.set("theme", "dark"))
      assert.isTrue(Option.isNone(
        yield* Effect.flatMap(second.storage.keyspace("settings"), (keyspace) => keyspace.get("theme"))
      ))
      assert.isFalse(fs.existsSync(":memory:"))
    }))

  it.scopedLive(":memory: takes sizes, and refuses a journal mode that it cannot have", () =>
    Effect.gen(function*() {
      const sql = yield* openSqlite({
        autoVacuum: "FULL",
        cacheSize: 1 << 20,
        filename: ":memory:",
        journalMode: "MEMORY",
        mmapSize: 1 << 20,
        pageSize: 8192
      })
      assert.strictEqual(yield* read(sql, "page_size"), 8192)
      assert.strictEqual(yield* read(sql, "auto_vacuum"), 1)
      assert.strictEqual(yield* read(sql, "cache_size"), -1024)
      assert.strictEqual(yield* read(sql, "journal_mode"), "memory")
      assert.strictEqual(yield* reasonOf(openSqlite({ filename: ":memory:", journalMode: "WAL" })), "Incompatible")
    }))

  it.scopedLive("an empty filename is refused, and says what to do", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(openSqlite({ filename: "" }))
      assert.strictEqual(error.reason, "Unavailable")
      assert.include(error.message, ":memory:")
    }))
})

describe("Sqlite.layerConfig", () => {
  const config = {
    filename: Config.string("DATABASE_FILE"),
    pageSize: Config.integer("DATABASE_PAGE_SIZE").pipe(Config.withDefault(4096)),
    lockTimeout: Config.duration("DATABASE_LOCK_TIMEOUT").pipe(Config.withDefault("5 seconds"))
  }
  const build = (values: ReadonlyArray<readonly [string, string]>) =>
    Effect.withConfigProvider(Layer.build(Sqlite.layerConfig(config)), ConfigProvider.fromMap(new Map(values)))

  it.scopedLive("takes its options from the ConfigProvider", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const context = yield* build([["DATABASE_FILE", filename], ["DATABASE_PAGE_SIZE", "8192"]])
      const sql = Context.get(context, SqliteClient.SqliteClient)
      yield* sql`CREATE TABLE log (message TEXT)`
      assert.strictEqual(yield* read(sql, "page_size"), 8192)
      assert.isTrue(fs.existsSync(filename))
    }))

  it.scopedLive("a missing value is a ConfigError, and a value that is no database is a StorageError", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(build([]))
      assert.isTrue(ConfigError.isConfigError(missing))
      assert.strictEqual(yield* reasonOf(build([["DATABASE_FILE", os.tmpdir()]])), "NotADatabase")
    }))
})

describe("closing Sqlite", () => {
  /** Writes a table of the user's with an index, and a store, then closes. */
  const filled = (options: Sqlite.Options) =>
    Effect.scoped(Effect.gen(function*() {
      const { sql, storage } = yield* open(options)
      yield* sql`CREATE TABLE log (message TEXT)`
      yield* sql`CREATE INDEX log_message ON log (message)`
      yield* sql`INSERT INTO log (message) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT i FROM n`
      const keyspace = yield* storage.keyspace("settings")
      yield* keyspace.setMany([{ expiresAt: 4e12, key: "theme", value: "dark" }])
      assert.isAbove(fs.statSync(`${options.filename}-wal`).size, 0)
    }))

  const statistics = (filename: string) =>
    Effect.sync(() => {
      const db = new Database(filename, { readonly: true })
      const found = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").get() !== undefined
      const tables = found ? db.prepare("SELECT DISTINCT tbl FROM sqlite_stat1").pluck().all() : []
      db.close()
      return tables
    })

  const walSize = (filename: string) => fs.statSync(`${filename}-wal`, { throwIfNoEntry: false })?.size ?? 0

  it.scopedLive("empties the WAL and brings the planner's statistics up to date", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* filled({ filename })
      assert.strictEqual(walSize(filename), 0)
      assert.include(yield* statistics(filename), "log")
    }))

  it.scopedLive("empties the WAL also while another connection keeps the file open", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const scope = yield* Scope.make()
      const { sql } = yield* Scope.extend(open({ filename }), scope)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() => new Database(filename)),
        (other) => Effect.sync(() => other.close())
      )
      assert.isAbove(other.prepare("SELECT count(*) FROM sqlite_master").pluck().all().length, 0)
      yield* sql`CREATE TABLE log (message TEXT)`
      assert.isAbove(walSize(filename), 0)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(walSize(filename), 0)
      assert.isTrue(fs.existsSync(`${filename}-wal`))
    }))

  it.scopedLive("gathers no statistics when optimizeOnClose is false", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* filled({ filename, optimizeOnClose: false })
      assert.strictEqual(walSize(filename), 0)
      deepStrictEqual(yield* statistics(filename), [])
    }))

  it.scopedLive("waits for a transaction that is under way", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const scope = yield* Scope.make()
      const { storage } = yield* Scope.extend(open({ filename }), scope)
      const keyspace = yield* storage.keyspace("settings")
      const entered = yield* Effect.makeLatch()
      const leave = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(storage.transaction(Effect.gen(function*() {
        yield* keyspace.set("theme", "dark")
        yield* entered.open
        yield* leave.await
        yield* keyspace.set("size", "10")
      })))
      yield* entered.await
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow()
      yield* leave.open
      yield* Fiber.join(fiber)
      yield* Fiber.join(closing)
      const again = yield* open({ filename })
      deepStrictEqual(yield* keysOf(yield* again.storage.keyspace("settings")), ["size", "theme"])
    }))

  it.scopedLive("does not wait for ever for a transaction that does not end", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { storage } = yield* Scope.extend(open({ filename: yield* tempFile, lockTimeout: "20 millis" }), scope)
      const entered = yield* Effect.makeLatch()
      const endless = yield* Effect.fork(storage.transaction(Effect.zipRight(entered.open, Effect.never)))
      yield* entered.await
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      const closed = yield* Effect.timeoutOption(Fiber.join(closing), "2 seconds")
      yield* Fiber.interrupt(endless)
      assert.isTrue(Option.isSome(closed))
    }))

  it.scopedLive("keeps what many fibers were told is written when it closes right after", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const scope = yield* Scope.make()
      const { storage } = yield* Scope.extend(open({ filename }), scope)
      const keyspace = yield* storage.keyspace("settings")
      const told: Array<string> = []
      const writers = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => `key ${String(i).padStart(2, "0")}`),
        (key) => Effect.fork(Effect.exit(Effect.tap(keyspace.set(key, "x"), () => void told.push(key))))
      )
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      for (const exit of yield* Fiber.join(Fiber.all(writers))) {
        if (Exit.isFailure(exit)) assert.isFalse(Exit.isInterrupted(exit))
      }
      assert.isAbove(told.length, 0)
      const again = yield* open({ filename })
      deepStrictEqual(yield* keysOf(yield* again.storage.keyspace("settings")), told.sort())
    }))

  it.scopedLive("everything that is used afterwards fails as Closed, and nothing dies", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const scope = yield* Scope.make()
      const { sql, storage } = yield* Scope.extend(open({ filename }), scope)
      const keyspace = yield* storage.keyspace("settings")
      yield* keyspace.set("theme", "dark")
      yield* Scope.close(scope, Exit.void)

      const entry = { expiresAt: undefined, key: "theme", value: "light" }
      const uses = {
        clear: keyspace.clear(),
        entries: keysOf(keyspace),
        get: keyspace.get("theme"),
        getMany: keyspace.getMany(["theme"]),
        keyspace: storage.keyspace("other"),
        modify: keyspace.modify("theme", () => [1, Storage.remove]),
        remove: keyspace.remove("theme"),
        removeExpired: keyspace.removeExpired({ limit: 1 }),
        set: keyspace.set("theme", "light"),
        setMany: keyspace.setMany([entry, { ...entry, key: "size" }]),
        stat: keyspace.stat(),
        stats: storage.maintenance.stats,
        take: keyspace.take({}, 1),
        transaction: storage.transaction(keyspace.set("theme", "light")),
        severalWriters: Effect.all([keyspace.set("a", "x"), keyspace.set("b", "x")], { concurrency: 2 })
      }
      for (const [name, use] of Object.entries<Effect.Effect<unknown, unknown>>(uses)) {
        assert.strictEqual(yield* reasonOf(use), "Closed", name)
      }
      const queries = {
        insert: sql`INSERT INTO kv_migrations (version) VALUES (99)`,
        raw: sql`SELECT 1`.raw,
        reserve: Effect.scoped(sql.reserve),
        select: sql`SELECT 1`,
        transaction: sql.withTransaction(sql`SELECT 1`),
        unprepared: sql`SELECT 1`.unprepared,
        values: sql`SELECT 1`.values
      }
      for (const [name, query] of Object.entries<Effect.Effect<unknown, unknown>>(queries)) {
        assert.instanceOf(yield* Effect.flip(query), SqlError, name)
      }
    }))

  it.scopedLive("maintenance of a closed database fails as Closed", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const scope = yield* Scope.make()
      const { sql } = yield* Scope.extend(open({ filename }), scope)
      yield* Scope.close(scope, Exit.void)
      const uses = {
        backup: Sqlite.backup(`${filename}.copy`),
        checkpoint: Sqlite.checkpoint,
        integrityCheck: Sqlite.integrityCheck,
        optimize: Sqlite.optimize,
        vacuum: Sqlite.vacuum
      }
      const reasons: Record<string, unknown> = {}
      for (const [name, use] of Object.entries<Effect.Effect<unknown, unknown, SqliteClient.SqliteClient>>(uses)) {
        reasons[name] = yield* reasonOf(Effect.provideService(use, SqliteClient.SqliteClient, sql))
      }
      deepStrictEqual(reasons, {
        backup: "Closed",
        checkpoint: "Closed",
        integrityCheck: "Closed",
        optimize: "Closed",
        vacuum: "Closed"
      })
    }))
})

describe("Sqlite maintenance", () => {
  const opened = Effect.gen(function*() {
    const filename = yield* tempFile
    const { sql, storage } = yield* open({ filename })
    const keyspace = yield* storage.keyspace("settings")
    return { filename, keyspace, provide: Effect.provideService(SqliteClient.SqliteClient, sql), sql, storage }
  })
  const large = Array.from({ length: 2000 }, (_, i) => ({
    expiresAt: undefined,
    key: `key ${i}`,
    value: "x".repeat(1000)
  }))

  it.scopedLive("optimize gathers statistics of every table", () =>
    Effect.gen(function*() {
      const { provide, sql } = yield* opened
      yield* sql`CREATE TABLE log (message TEXT)`
      yield* sql`CREATE INDEX log_message ON log (message)`
      yield* sql`INSERT INTO log (message) VALUES ('started')`
      yield* Sqlite.optimize.pipe(provide)
      assert.lengthOf(yield* sql`SELECT DISTINCT tbl FROM sqlite_stat1 WHERE tbl = 'log'`, 1)
    }))

  it.scopedLive("checkpoint empties the WAL and keeps the data", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      yield* keyspace.setMany(large)
      assert.isAbove(fs.statSync(`${filename}-wal`).size, 0)
      yield* Sqlite.checkpoint.pipe(provide)
      assert.strictEqual(fs.statSync(`${filename}-wal`).size, 0)
      assert.strictEqual((yield* keyspace.stat()).entries, large.length)
    }))

  it.scopedLive("vacuum gives free room back to the file system", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      yield* keyspace.setMany(large)
      yield* Sqlite.checkpoint.pipe(provide)
      const before = fs.statSync(filename).size
      yield* keyspace.clear({ from: "key 2" })
      yield* Sqlite.vacuum.pipe(provide)
      yield* Sqlite.checkpoint.pipe(provide)
      assert.isBelow(fs.statSync(filename).size, before * 0.8)
      assert.isAbove((yield* keyspace.stat()).entries, 0)
    }))

  it.scopedLive("vacuum fails in a transaction, which goes on", () =>
    Effect.gen(function*() {
      const { keyspace, provide, storage } = yield* opened
      const error = yield* storage.transaction(Effect.gen(function*() {
        yield* keyspace.set("theme", "dark")
        return yield* Effect.flip(Sqlite.vacuum.pipe(provide))
      }))
      assert.instanceOf(error, StorageError.StorageError)
      assert.strictEqual(error.method, "vacuum")
      assert.include(error.message, "cannot VACUUM from within a transaction")
      deepStrictEqual(yield* keysOf(keyspace), ["theme"])
    }))

  it.scopedLive("integrityCheck finds nothing wrong with a good file", () =>
    Effect.gen(function*() {
      const { keyspace, provide } = yield* opened
      yield* keyspace.setMany(large)
      deepStrictEqual(yield* Sqlite.integrityCheck.pipe(provide), [])
    }))

  it.scopedLive("integrityCheck tells what is wrong with a damaged file", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* Effect.scoped(Effect.gen(function*() {
        const { storage } = yield* open({ filename })
        yield* Effect.flatMap(storage.keyspace("settings"), (keyspace) => keyspace.setMany(large))
      }))
      yield* Effect.sync(() => {
        const file = fs.openSync(filename, "r+")
        const middle = Math.floor(fs.fstatSync(file).size / 2 / 4096) * 4096
        fs.writeSync(file, Buffer.alloc(8 * 4096, 0xa5), 0, 8 * 4096, middle)
        fs.closeSync(file)
      })
      const sql = yield* openSqlite({ filename })
      const result = yield* Effect.either(
        Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql)
      )
      if (Either.isRight(result)) assert.isAbove(result.right.length, 0)
      else assert.strictEqual(result.left.reason, "Corrupt")
    }))

  it.scopedLive("backup makes a copy that opens and holds the data, also what is still in the WAL", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      yield* keyspace.setMany(large)
      const copy = `${filename}.copy`
      yield* Sqlite.backup(copy).pipe(provide)
      yield* keyspace.set("later", "x")
      const second = yield* open({ filename: copy })
      const copied = yield* second.storage.keyspace("settings")
      assert.strictEqual((yield* copied.stat()).entries, large.length)
      assert.strictEqual(Option.getOrThrow(yield* copied.get("key 7")).value, "x".repeat(1000))
    }))

  it.scopedLive("a backup is for its owner only, as the database is", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      yield* keyspace.set("secret", "x")
      yield* Sqlite.backup(`${filename}.copy`).pipe(provide)
      assert.strictEqual(mode(`${filename}.copy`), mode(filename))
    }))

  it.scopedLive("a backup while fibers write is one moment of the database, and no write fails", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      yield* keyspace.setMany(large)
      const copy = `${filename}.copy`
      const pair = (i: number) =>
        keyspace.setMany([
          { expiresAt: undefined, key: `left ${i}`, value: "x" },
          { expiresAt: undefined, key: `right ${i}`, value: "x" }
        ])
      const backup = yield* Effect.fork(Sqlite.backup(copy).pipe(provide))
      yield* Effect.forEach(Array.from({ length: 50 }, (_, i) => i), pair, { concurrency: 5, discard: true })
      yield* Fiber.join(backup)
      const second = yield* open({ filename: copy })
      const copied = yield* second.storage.keyspace("settings")
      const left = yield* copied.stat({ prefix: "left " })
      const right = yield* copied.stat({ prefix: "right " })
      assert.strictEqual(left.entries, right.entries)
      assert.strictEqual((yield* copied.stat({ prefix: "key " })).entries, large.length)
      assert.strictEqual((yield* keyspace.stat({ prefix: "left " })).entries, 50)
    }))

  it.scopedLive("a backup that cannot be written fails as a StorageError, and the database goes on", () =>
    Effect.gen(function*() {
      const { filename, keyspace, provide } = yield* opened
      // A folder, and a file in what is no folder.
      for (const destination of [path.dirname(filename), path.join(filename, "copy.db")]) {
        const error = yield* Effect.flip(Sqlite.backup(destination).pipe(provide))
        assert.isTrue(Predicate.isTagged(error, "StorageError"), destination)
        assert.strictEqual(error.method, "backup")
        assert.strictEqual(error.reason, "Unavailable", error.message)
      }
      yield* keyspace.set("theme", "dark")
      deepStrictEqual(yield* keysOf(keyspace), ["theme"])
    }))
})
