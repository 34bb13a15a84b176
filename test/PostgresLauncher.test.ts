/** The PostgreSQL server of the tests. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, ExecutionStrategy, Exit, Fiber, Redacted, Ref, Schedule, Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { installed, unavailable } from "./postgres/binaries.js"
import { PostgresError } from "./postgres/error.js"
import { startPostgres } from "./postgres/launcher.js"
import * as shared from "./postgres/shared.js"
import { child, tempFolder } from "./support.js"

const at = (url: string) =>
  Effect.provide(PgClient.make({ maxConnections: 1, url: Redacted.make(url) }), Reactivity.layer)

/** What one statement gives, on a connection of its own. */
const rowsOf = (url: string, statement: string) =>
  Effect.scoped(Effect.flatMap(at(url), (sql) => sql.unsafe<Record<string, unknown>>(statement)))

/** A folder in which a server of any user can make its own. */
const openFolder = Effect.tap(tempFolder, (folder) => Effect.sync(() => fs.chmodSync(folder, 0o755)))

/** The command lines of the processes that have to do with a folder. */
const processesOf = (folder: string) =>
  execFileSync("ps", ["-A", "-ww", "-o", "pid=,args="], { encoding: "utf8" }).split("\n")
    .filter((line) => line.includes(path.basename(folder)))

/** What there is of the servers that were started in a folder. */
const leftIn = (folder: string) =>
  Effect.sync(() => ({ files: fs.readdirSync(folder), processes: processesOf(folder) }))

const nothing = { files: [], processes: [] }

/** Waits until there is nothing left. */
const gone = (folder: string) =>
  leftIn(folder).pipe(
    Effect.repeat({
      schedule: Schedule.spaced("20 millis"),
      until: ({ files, processes }) => files.length + processes.length === 0
    }),
    Effect.timeout("20 seconds"),
    Effect.zipRight(leftIn(folder))
  )

const lockFile = (socketDirectory: string) =>
  fs.readFileSync(path.join(socketDirectory, "data/postmaster.pid"), "utf8").split("\n")

shared.describeUnless(unavailable(), "a PostgreSQL server of one's own", () => {
  it.scopedLive("answers, with the settings that were promised", () =>
    Effect.gen(function*() {
      const { socketDirectory, url, urlOf } = yield* startPostgres()
      const [{ version } = {}] = yield* rowsOf(url, "SELECT version()")
      assert.match(String(version), /^PostgreSQL 18\.4 /)
      const expected = {
        fsync: "off",
        full_page_writes: "off",
        lc_messages: "C",
        listen_addresses: "",
        max_connections: "200",
        server_encoding: "UTF8",
        synchronous_commit: "off",
        TimeZone: "UTC",
        unix_socket_directories: `"${socketDirectory}"`
      }
      for (const [name, setting] of Object.entries(expected)) {
        deepStrictEqual(yield* rowsOf(url, `SHOW ${name}`), [{ [name]: setting }])
      }
      deepStrictEqual(yield* rowsOf(url, "SELECT DISTINCT datcollate, datctype FROM pg_database"), [
        { datcollate: "C", datctype: "C" }
      ])
      yield* rowsOf(url, "CREATE DATABASE \"Two Words\"")
      deepStrictEqual(yield* rowsOf(urlOf("Two Words"), "SELECT current_database() AS name"), [{ name: "Two Words" }])
    }))

  it.scopedLive("runs as an ordinary user, and answers nobody but that user and who started it", () =>
    Effect.gen(function*() {
      const { socketDirectory } = yield* startPostgres()
      const uid = process.getuid?.() === 0 ? 65534 : process.getuid?.()
      const { mode, uid: owner } = fs.statSync(socketDirectory)
      deepStrictEqual([owner, mode & 0o777], [uid, 0o700])
      const [pid = ""] = lockFile(socketDirectory)
      deepStrictEqual(Number(execFileSync("ps", ["-o", "uid=", "-p", pid], { encoding: "utf8" })), uid)
    }))

  it.scopedLive("can be durable, and takes settings", () =>
    Effect.gen(function*() {
      const { url } = yield* startPostgres({ durable: true, settings: { max_connections: "7" } })
      for (const name of ["fsync", "full_page_writes", "synchronous_commit"]) {
        deepStrictEqual(yield* rowsOf(url, `SHOW ${name}`), [{ [name]: "on" }])
      }
      deepStrictEqual(yield* rowsOf(url, "SHOW max_connections"), [{ max_connections: "7" }])
    }))

  it.scopedLive("leaves nothing when its scope closes, though a client waits for an answer", () =>
    Effect.gen(function*() {
      const parent = yield* openFolder
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const { socketDirectory, url } = yield* Scope.extend(startPostgres({ parent }), scope)
      deepStrictEqual(fs.readdirSync(parent), [path.basename(socketDirectory)])
      const waiting = yield* Effect.fork(rowsOf(url, "SELECT pg_sleep(600)"))
      yield* Effect.repeat(rowsOf(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), {
        schedule: Schedule.spaced("10 millis"),
        until: (rows) => rows.length === 1
      })
      assert.isAbove(processesOf(socketDirectory).length, 2)
      yield* Scope.close(scope, Exit.void)
      deepStrictEqual(yield* leftIn(parent), nothing)
      deepStrictEqual(processesOf(socketDirectory), [])
      assert.isTrue(Exit.isFailure(yield* Fiber.await(waiting)))
    }))

  it.scopedLive("leaves nothing when its process is killed", () =>
    Effect.gen(function*() {
      const parent = yield* openFolder
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const starter = yield* Scope.extend(child("postgres.ts", [parent]), scope)
      deepStrictEqual(yield* starter.line, "starting")
      const socketDirectory = yield* starter.line
      assert.isAbove(processesOf(socketDirectory).length, 2)
      yield* Scope.close(scope, Exit.void)
      deepStrictEqual(yield* gone(parent), nothing)
      deepStrictEqual(processesOf(socketDirectory), [])
    }))

  it.scopedLive(
    "leaves nothing when its process is killed while it starts",
    () =>
      Effect.forEach(
        // What is there when the process is killed, from the empty folder to the server's socket.
        ["", "data/PG_VERSION", "data/base/5", ".s.PGSQL.5432.lock"],
        (file) =>
          Effect.gen(function*() {
            const parent = yield* openFolder
            const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
            const starter = yield* Scope.extend(child("postgres.ts", [parent]), scope)
            deepStrictEqual(yield* starter.line, "starting")
            yield* Effect.repeat(
              Effect.sync(() => fs.readdirSync(parent).some((name) => fs.existsSync(path.join(parent, name, file)))),
              { schedule: Schedule.spaced("2 millis"), until: (there) => there }
            )
            yield* Scope.close(scope, Exit.void)
            deepStrictEqual(yield* gone(parent), nothing)
          }),
        { concurrency: 2, discard: true }
      ),
    120_000
  )

  it.scopedLive("leaves nothing when its start is interrupted", () =>
    Effect.gen(function*() {
      const parent = yield* openFolder
      for (const delay of [0, 30, 200, 500]) {
        yield* startPostgres({ parent }).pipe(Effect.scoped, Effect.timeoutOption(delay))
        deepStrictEqual([delay, yield* leftIn(parent)], [delay, nothing])
      }
    }))

  it.scopedLive("says in PostgreSQL's own words why it does not start, and leaves nothing", () =>
    Effect.gen(function*() {
      const parent = yield* openFolder
      const error = yield* Effect.flip(Effect.scoped(startPostgres({ parent, settings: { shared_buffers: "little" } })))
      assert.instanceOf(error, PostgresError)
      assert.include(error.message, "invalid value for parameter \"shared_buffers\": \"little\"")
      deepStrictEqual(yield* leftIn(parent), nothing)
    }))

  it.scopedLive("keeps what was committed when it is killed while it writes, each time", () =>
    Effect.gen(function*() {
      const { kill, restart, socketDirectory, url } = yield* startPostgres({ durable: true })
      yield* rowsOf(url, "CREATE TABLE log (n integer)")
      const acknowledged = yield* Ref.make(0)
      for (let round = 1; round <= 3; round++) {
        const before = yield* Ref.get(acknowledged)
        const open = yield* Effect.fork(rowsOf(url, "BEGIN; INSERT INTO log (n) VALUES (-1); SELECT pg_sleep(600)"))
        const writer = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
          const sql = yield* at(url)
          for (let n = before + 1;; n++) {
            yield* sql`INSERT INTO log (n) VALUES (${n})`
            yield* Ref.set(acknowledged, n)
          }
        })))
        yield* Effect.repeat(Ref.get(acknowledged), {
          schedule: Schedule.spaced("5 millis"),
          until: (n) => n >= before + 50
        })
        yield* kill
        deepStrictEqual(processesOf(socketDirectory), [])
        for (const fiber of [writer, open]) assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(rowsOf(url, "SELECT 1"))))

        yield* restart
        const rows = yield* rowsOf(url, "SELECT n FROM log ORDER BY n")
        const told = yield* Ref.get(acknowledged)
        assert.isAtLeast(rows.length, told)
        // The last one may have been written with nobody left to be told.
        assert.isAtMost(rows.length, told + 1)
        deepStrictEqual(rows, Array.from({ length: rows.length }, (_, i) => ({ n: i + 1 })))
        yield* Ref.set(acknowledged, rows.length)
      }
    }))

  it.scopedLive("keeps its rows when it is restarted while it runs", () =>
    Effect.gen(function*() {
      const { restart, socketDirectory, url } = yield* startPostgres()
      yield* rowsOf(url, "CREATE TABLE log AS SELECT 1 AS n")
      const [before] = lockFile(socketDirectory)
      yield* restart
      assert.notStrictEqual(lockFile(socketDirectory)[0], before)
      deepStrictEqual(yield* rowsOf(url, "SELECT n FROM log"), [{ n: 1 }])
    }))

  it.scopedLive("leaves nothing when its scope closes after it was killed, in shared memory neither", () =>
    Effect.gen(function*() {
      const parent = yield* openFolder
      const segments = () =>
        execFileSync("ipcs", ["-m"], { encoding: "utf8" }).split("\n").map((line) => line.split(/ +/)[1])
      const segment = yield* Effect.scoped(Effect.gen(function*() {
        const { kill, socketDirectory } = yield* startPostgres({ parent })
        yield* kill
        const segment = lockFile(socketDirectory)[6]?.trim().split(/ +/)[1]
        assert.include(segments(), segment)
        return segment
      }))
      deepStrictEqual(yield* leftIn(parent), nothing)
      assert.notInclude(segments(), segment)
    }))

  it.scopedLive("starts from binaries that its user cannot read, and whose links are missing", () =>
    Effect.gen(function*() {
      const binaries = path.join(yield* tempFolder, "native")
      fs.cpSync(installed()!, binaries, { filter: (file) => !fs.lstatSync(file).isSymbolicLink(), recursive: true })
      for (const file of ["", ...fs.readdirSync(binaries, { encoding: "utf8", recursive: true })]) {
        fs.chmodSync(path.join(binaries, file), 0o700)
      }
      const { url } = yield* startPostgres({ binaries })
      deepStrictEqual(yield* rowsOf(url, "SELECT 1 AS n"), [{ n: 1 }])
      assert.isFalse(fs.existsSync(path.join(binaries, "lib/libpq.so.5")))
    }))

  it.scopedLive("makes its folder in /tmp where the path of its socket would be too long, or closed to its user", () =>
    Effect.gen(function*() {
      const long = path.join(yield* openFolder, "x".repeat(80))
      fs.mkdirSync(long)
      const closed = yield* tempFolder
      for (const parent of process.getuid?.() === 0 ? [long, closed] : [long]) {
        const { socketDirectory, url } = yield* startPostgres({ parent })
        deepStrictEqual(path.dirname(socketDirectory), "/tmp")
        deepStrictEqual(yield* rowsOf(url, "SELECT 1 AS n"), [{ n: 1 }])
      }
    }))
})
