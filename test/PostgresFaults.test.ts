/** Lost connections, crashed servers, missing rights, and values that PostgreSQL does not take. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Context,
  Effect,
  ExecutionStrategy,
  Exit,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Option,
  Redacted,
  Scope
} from "effect"
import { Storage, StorageError } from "effect-kv"
import { unavailable as noServer } from "./postgres/binaries.js"
import { type Postgres, startPostgres } from "./postgres/launcher.js"
import { databasesUnavailable, describeUnless, freshDatabase, freshSchema, unavailable } from "./postgres/shared.js"
import {
  apart,
  blocked,
  clientOf,
  lockingRow,
  openFresh,
  openOn,
  rowsOf,
  storageOn,
  tableOf,
  until,
  withSettings
} from "./postgres/stores.js"
import { keysOf } from "./support.js"

const reasonOf = (error: unknown) => error instanceof StorageError.StorageError ? error.reason : String(error)

/** Ends the server's processes of a client, and waits until they are gone. */
const terminate = (other: PgClient.PgClient, applicationName: string) =>
  Effect.zipRight(
    other`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ${applicationName}`,
    until(
      other`SELECT FROM pg_stat_activity WHERE application_name = ${applicationName}`,
      (rows) => rows.length === 0
    )
  )

const valueOf = (keyspace: Storage.Keyspace, key: string) =>
  Effect.map(keyspace.get(key), Option.match({ onNone: () => undefined, onSome: ({ value }) => value }))

describeUnless(unavailable, "a connection that the server ends", () => {
  it.scopedLive("while an operation waits is a typed error, and the next operation works", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, storage, table } = yield* openFresh()
      yield* keyspace.set("k", "before")
      const release = yield* lockingRow(other, table, "k")
      const fibers = yield* Effect.forEach([
        keyspace.set("k", "v"),
        keyspace.modify("k", () => [undefined, Storage.put("v")]),
        keyspace.clear(),
        storage.transaction(keyspace.set("k", "v"))
      ], (write) => Effect.fork(Effect.flip(write)))
      yield* blocked(other, applicationName, 4)
      yield* terminate(other, applicationName)
      for (const fiber of fibers) deepStrictEqual(reasonOf(yield* Fiber.join(fiber)), "Unavailable")
      yield* release
      deepStrictEqual(yield* valueOf(keyspace, "k"), "before")
      yield* keyspace.set("k", "after")
      deepStrictEqual(yield* valueOf(keyspace, "k"), "after")
    }))

  it.scopedLive("inside a transaction loses the transaction, and nothing else", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other, sql, storage } = yield* openFresh()
      const ending = apart(terminate(other, applicationName))
      const after: ReadonlyArray<Effect.Effect<unknown, unknown>> = [keyspace.set("l", "v"), Effect.void, sql`SELECT 1`]
      for (const last of after) {
        const before = Effect.zipRight(keyspace.set("before", "v"), ending)
        const error = yield* Effect.flip(storage.transaction(Effect.zipRight(before, Effect.ignore(last))))
        deepStrictEqual([reasonOf(error), "method" in error && error.method], ["Unavailable", "transaction"])
        deepStrictEqual(
          reasonOf(yield* Effect.flip(storage.transaction(Effect.zipRight(before, keyspace.get("k"))))),
          "Unavailable"
        )
        deepStrictEqual(yield* keysOf(keyspace), [])
      }
      yield* storage.transaction(keyspace.set("k", "v"))
      deepStrictEqual(yield* keysOf(keyspace), ["k"])
    }))

  it.scopedLive("between operations is noticed, or costs one typed error each", () =>
    Effect.gen(function*() {
      const { applicationName, keyspace, other } = yield* openFresh({ maxConnections: 3 })
      for (let i = 0; i < 5; i++) {
        yield* Effect.all([keyspace.set("a", "v"), keyspace.set("b", "v"), keyspace.get("c")], { concurrency: 3 })
        yield* terminate(other, applicationName)
        let failures = 0
        yield* Effect.retry(keyspace.set("k", `${i}`), {
          while: (error) => reasonOf(error) === "Unavailable" && ++failures <= 3
        })
        deepStrictEqual(yield* valueOf(keyspace, "k"), `${i}`)
      }
    }))

  it.scopedLive("for idling in a transaction is a typed error", () =>
    Effect.gen(function*() {
      const config = withSettings(yield* freshSchema, { idle_in_transaction_session_timeout: "50ms" })
      const { keyspace, storage } = yield* openOn(config)
      const error = yield* Effect.flip(
        storage.transaction(Effect.zipRight(keyspace.set("k", "v"), Effect.sleep("300 millis")))
      )
      deepStrictEqual(reasonOf(error), "Unavailable")
      deepStrictEqual(yield* keysOf(keyspace), [])
    }))
})

/** A server that may be killed, for the tests of this file. */
class Server extends Context.Tag("test/Server")<Server, Postgres>() {
  static readonly layer = Layer.scoped(Server, startPostgres({ durable: true }))
}

const ownServer = noServer()

describeUnless(ownServer, "a server that ends", () => {
  layer(Server.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.scoped("in a crash keeps what was acknowledged, and its clients find it again", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const { keyspace, other, storage, table } = yield* openOn({ url: Redacted.make(server.url) })
        const counters = yield* storage.keyspace("counters")
        const acknowledged = new Set<string>()
        const counted = { done: 0, unsure: 0 }
        const reasons = new Set<string>()
        let stopped = false
        let crashed = false
        let late = 0
        /** Does it over and over; each round may fail. */
        const load = <E>(round: (i: number) => Effect.Effect<void, E>) =>
          Effect.gen(function*() {
            for (let i = 0; !stopped; i++) {
              const exit = yield* Effect.exit(round(i))
              if (Exit.isSuccess(exit)) {
                if (crashed) late++
              } else {
                reasons.add(exit.cause._tag === "Fail" ? reasonOf(exit.cause.error) : String(exit.cause))
                yield* Effect.sleep("5 millis")
              }
            }
          })
        const sets = (name: string) =>
          load((i) => Effect.map(keyspace.set(`${name}${i}`, "v"), () => void acknowledged.add(`${name}${i}`)))
        const pairs = (name: string) =>
          load((i) =>
            Effect.map(
              storage.transaction(
                Effect.zipRight(keyspace.set(`${name}${i}`, "v"), counters.set(`${name}${i}`, "v"))
              ),
              () => void acknowledged.add(`${name}${i}`)
            )
          )
        const count = load(() =>
          Effect.suspend(() => {
            counted.unsure++
            return Effect.map(
              counters.modify("count", (entry) => {
                const sum = Number(Option.match(entry, { onNone: () => 0, onSome: ({ value }) => value }))
                return [undefined, Storage.put(`${sum + 1}`)]
              }),
              () => {
                counted.unsure--
                counted.done++
              }
            )
          })
        )
        const fibers = yield* Effect.forEach(
          [sets("a"), sets("b"), pairs("p"), pairs("q"), count, count],
          (self) => Effect.fork(self)
        )
        yield* until(Effect.sync(() => acknowledged.size), (size) => size > 100)
        yield* server.kill
        yield* Effect.sleep("50 millis")
        yield* server.restart
        crashed = true
        yield* until(Effect.sync(() => late), (late) => late > 100)
        stopped = true
        yield* Effect.forEach(fibers, Fiber.join)

        deepStrictEqual([...reasons], ["Unavailable"])
        const kept = new Set((yield* rowsOf(other, table)).map(({ key }) => key))
        deepStrictEqual([...acknowledged].filter((key) => !kept.has(key)), [])
        const both = new Set(yield* keysOf(counters))
        both.delete("count")
        deepStrictEqual([...both].filter((key) => !kept.has(key)), [])
        deepStrictEqual([...kept].filter((key) => /[pq]/.test(key) && !both.has(key)), [])
        const sum = Number(yield* valueOf(counters, "count"))
        assert.isAtLeast(sum, counted.done)
        assert.isAtMost(sum, counted.done + counted.unsure)
      }))

    it.scoped("for good is a typed error soon, and scopes close", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
        const config = { url: Redacted.make(server.urlOf("postgres")) }
        const { keyspace, sql, storage } = yield* Scope.extend(openOn(config), scope)
        yield* Logger.withMinimumLogLevel(storage.maintenance.sweeper({ interval: "20 millis" }), LogLevel.None)
        yield* server.kill
        const start = performance.now()
        for (
          const operation of [
            keyspace.get("k"),
            keyspace.set("k", "v"),
            keyspace.setMany([{ expiresAt: undefined, key: "k", value: "v" }]),
            keyspace.modify("k", () => [undefined, Storage.put("v")]),
            keyspace.take({}, 1),
            keyspace.clear(),
            keyspace.removeExpired({ limit: 1 }),
            storage.transaction(Effect.void),
            storage.keyspace("other"),
            storage.maintenance.compact
          ]
        ) {
          // What the pool has not noticed yet, and what it has.
          deepStrictEqual(reasonOf(yield* Effect.flip(operation)), "Unavailable")
          deepStrictEqual(reasonOf(yield* Effect.flip(operation)), "Unavailable")
        }
        deepStrictEqual(reasonOf(yield* Effect.flip(storageOn(sql))), "Unavailable")
        yield* Scope.close(scope, Exit.void)
        assert.isBelow(performance.now() - start, 4000)
        yield* server.restart
      }))

    it.scoped("refuses who may do nothing, or too much", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const root = yield* clientOf({ url: Redacted.make(server.url) })
        yield* root`CREATE DATABASE rights`
        yield* root`CREATE ROLE guest LOGIN`
        const { keyspace, other: owner } = yield* openOn({ url: Redacted.make(server.urlOf("rights")) })
        yield* keyspace.set("k", "v")
        yield* owner`CREATE SCHEMA empty`
        yield* owner`GRANT USAGE ON SCHEMA empty TO guest`
        const config = { url: Redacted.make(server.urlOf("rights").replace("user=postgres", "user=guest")) }
        const at = (schema: string, readonly = "off") =>
          Effect.flatMap(
            clientOf({
              ...withSettings(config, { default_transaction_read_only: readonly, search_path: schema }),
              applicationName: "guest",
              maxConnections: 2
            }),
            storageOn
          )
        const opening = (schema: string) => Effect.map(Effect.flip(at(schema)), reasonOf)

        // May not create, then may not read what is there.
        deepStrictEqual([yield* opening("empty"), yield* opening("public")], ["Permission", "Permission"])

        yield* owner`GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest`
        const storage = yield* at("public")
        const guests = yield* storage.keyspace("test")
        deepStrictEqual(yield* valueOf(guests, "k"), "v")
        for (const write of [guests.set("k", "w"), guests.remove("k"), guests.clear(), storage.keyspace("new")]) {
          deepStrictEqual(reasonOf(yield* Effect.flip<unknown, unknown, never>(write)), "Permission")
        }
        // May fill the tables, and not create one.
        yield* owner`GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest`
        yield* guests.set("k", "w")
        deepStrictEqual(reasonOf(yield* Effect.flip(storage.keyspace("new"))), "Permission")
        deepStrictEqual(yield* owner`SELECT FROM kv_catalog WHERE name = '"new"'`, [])

        // One connection is there for the role, and the pool wants another.
        yield* root`ALTER ROLE guest CONNECTION LIMIT 1`
        const exits = yield* Effect.all([storage.transaction(guests.get("k")), Effect.flip(guests.set("l", "v"))], {
          concurrency: 2
        })
        deepStrictEqual(reasonOf(exits[1]), "Unavailable")

        yield* root`ALTER ROLE guest NOLOGIN`
        yield* terminate(root, "guest")
        const noticed = Effect.retry(guests.get("k"), { times: 3, while: (error) => reasonOf(error) === "Unavailable" })
        deepStrictEqual(reasonOf(yield* Effect.flip(noticed)), "Permission")

        // A database that is dropped under its clients.
        yield* root`DROP DATABASE rights WITH (FORCE)`
        deepStrictEqual(reasonOf(yield* Effect.flip(Effect.retry(keyspace.get("k"), { times: 2 }))), "Unavailable")
        // The rest is the client's own: it does not come to a Storage.
        deepStrictEqual((yield* Effect.flip(clientOf(config)))._tag, "SqlError")
      }))
  })
})

describeUnless(unavailable, "a session that is read-only", () => {
  it.scopedLive("reads what is there, and writes nothing", () =>
    Effect.gen(function*() {
      const { config, keyspace, other, table } = yield* openFresh()
      yield* keyspace.set("k", "v")
      yield* keyspace.set("expired", "v", 1)
      const client = yield* clientOf(
        withSettings({ url: config.url ?? Redacted.make("") }, { default_transaction_read_only: "on" })
      )
      const storage = yield* storageOn(client)
      const reader = yield* storage.keyspace("test")
      const before = yield* rowsOf(other, table)
      deepStrictEqual(yield* valueOf(reader, "k"), "v")
      deepStrictEqual(yield* keysOf(reader), ["k"])
      deepStrictEqual(yield* storage.transaction(valueOf(reader, "k")), "v")
      const writes: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        reader.set("k", "w"),
        reader.set("k", "w", 1),
        reader.setMany([{ expiresAt: undefined, key: "k", value: "w" }]),
        reader.modify("k", () => [undefined, Storage.put("w")]),
        reader.remove("k"),
        reader.removeMany(["k"]),
        reader.take({}, 1),
        reader.clear(),
        reader.clear({ from: "a" }),
        reader.removeExpired({ limit: 1 }),
        storage.keyspace("new"),
        storage.transaction(reader.set("k", "w"))
      ]
      for (const write of writes) deepStrictEqual(reasonOf(yield* Effect.flip(write)), "ReadOnly")
      deepStrictEqual(yield* rowsOf(other, table), before)
    }))

  it.scopedLive("cannot open an empty schema", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(withSettings(yield* freshSchema, { default_transaction_read_only: "on" }))
      deepStrictEqual(reasonOf(yield* Effect.flip(storageOn(client))), "ReadOnly")
    }))
})

describeUnless(databasesUnavailable, "a database that is not in UTF-8", () => {
  it.scopedLive("is refused when it is opened, and stays empty", () =>
    Effect.gen(function*() {
      const root = yield* clientOf(yield* freshDatabase)
      const name = `effect_kv_${crypto.randomUUID().replaceAll("-", "")}`
      yield* Effect.acquireRelease(
        root.unsafe(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' STRATEGY file_copy`),
        () => Effect.orDie(root.unsafe(`DROP DATABASE ${name} WITH (FORCE)`))
      )
      const url = new URL(Redacted.value(root.config.url ?? Redacted.make("")))
      url.pathname = name
      const client = yield* clientOf({ url: Redacted.make(url.href) })
      const error = yield* Effect.flip(storageOn(client))
      deepStrictEqual(error.reason, "Incompatible")
      assert.include(error.message, "SQL_ASCII")
      deepStrictEqual(yield* client`SELECT FROM pg_class WHERE relname LIKE 'kv%'`, [])
    }))
})

describeUnless(unavailable, "values and names on PostgreSQL", () => {
  it.scopedLive("beyond its limit are refused, and nothing is written", () =>
    Effect.gen(function*() {
      const { keyspace, other, storage, table } = yield* openFresh()
      yield* keyspace.set("k", "before")
      const large = new Uint8Array((255 << 20) + 1)
      const small = { expiresAt: undefined, key: "a", value: "v" }
      for (
        const write of [
          keyspace.set("k", large),
          keyspace.set("k", large, 2e12),
          keyspace.setMany([small, { expiresAt: undefined, key: "k", value: large }]),
          keyspace.modify("k", () => [undefined, Storage.put(large)]),
          keyspace.modify("absent", () => [undefined, Storage.put(large)])
        ]
      ) {
        deepStrictEqual(reasonOf(yield* Effect.flip(write)), "InvalidValue")
      }
      // The transaction can go on.
      yield* storage.transaction(Effect.zipRight(Effect.flip(keyspace.set("k", large)), keyspace.set("l", "v")))
      deepStrictEqual(yield* rowsOf(other, table), [{ key: "k", value: "before" }, { key: "l", value: "v" }])
    }))

  it.scopedLive("keep their kind, with NUL in them", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* openFresh()
      const values = ["", "\0", "a\0b\0", "\\x00", new Uint8Array(), new Uint8Array([0]), new Uint8Array([97, 0])]
      yield* keyspace.setMany(values.map((value, i) => ({ expiresAt: undefined, key: `m${i}`, value })))
      for (const [i, value] of values.entries()) {
        yield* keyspace.set(`s${i}`, value)
        yield* keyspace.modify(`u${i}`, () => [undefined, Storage.put(value, 2e12)])
        for (const key of [`m${i}`, `s${i}`, `u${i}`]) deepStrictEqual(yield* valueOf(keyspace, key), value)
        // From one kind to another.
        yield* keyspace.set("k", value)
        deepStrictEqual(yield* valueOf(keyspace, "k"), value)
      }
    }))

  it.scopedLive("of keyspaces can be long, and stay apart", () =>
    Effect.gen(function*() {
      const { config, sql, storage } = yield* openFresh()
      const names = ["x".repeat(5000), `${"x".repeat(4999)}y`, "\0", "\ud800", "'; DROP TABLE kv_catalog; --", ""]
      for (const name of names) yield* (yield* storage.keyspace(name)).set("k", "v")
      const again = yield* Effect.flatMap(clientOf(config), storageOn)
      for (const name of names) {
        deepStrictEqual(yield* keysOf(yield* again.keyspace(name)), ["k"])
      }
      deepStrictEqual((yield* sql`SELECT FROM kv_catalog`).length, names.length + 1)
    }))

  it.scopedLive("are the same for a client that reads types in its own way", () =>
    Effect.gen(function*() {
      const { config, keyspace } = yield* openFresh()
      yield* keyspace.set("k", "v", 2e12)
      const client = yield* clientOf({
        ...config,
        transformResultNames: (name) => name.toUpperCase(),
        types: {
          getTypeParser: (id: number) => (text: string) =>
            id === 20 ? BigInt(text) : id === 17 ? Buffer.from(text.slice(2), "hex") : text
        }
      })
      const again = yield* Effect.flatMap(storageOn(client), (storage) => storage.keyspace("test"))
      deepStrictEqual(yield* again.get("k"), Option.some({ expiresAt: 2e12, key: "k", value: "v" }))
      deepStrictEqual(yield* again.stat(), { bytes: 2, entries: 1 })
    }))
})

describeUnless(unavailable, "settings of the user's", () => {
  it.scopedLive("that end a statement make it fail as busy, and nothing is written", () =>
    Effect.gen(function*() {
      const config = withSettings(yield* freshSchema, { statement_timeout: "100ms" })
      const { keyspace, other, sql, storage, table } = yield* openOn(config, { lockTimeout: "300 millis" })
      yield* keyspace.set("k", "before")
      yield* lockingRow(other, table, "k")
      deepStrictEqual(reasonOf(yield* Effect.flip(keyspace.set("k", "v"))), "Busy")
      deepStrictEqual(reasonOf(yield* Effect.flip(storage.transaction(keyspace.clear()))), "Busy")
      const slow = Effect.zipRight(keyspace.set("l", "v"), Effect.ignore(sql`SELECT pg_sleep(5)`))
      deepStrictEqual(reasonOf(yield* Effect.flip(storage.transaction(slow))), "Busy")
      deepStrictEqual(yield* rowsOf(other, table), [{ key: "k", value: "before" }])
    }))

  it.scopedLive("say in which schema our tables are", () =>
    Effect.gen(function*() {
      const { config, keyspace, other } = yield* openFresh()
      yield* keyspace.set("k", "first")
      const [{ name: first } = { name: "" }] = yield* other<{ readonly name: string }>`SELECT current_schema() AS name`
      const second = `${first}_2`
      yield* Effect.acquireRelease(
        other.unsafe(`CREATE SCHEMA ${second}`),
        () => Effect.orDie(other.unsafe(`DROP SCHEMA ${second} CASCADE`))
      )
      yield* Effect.scoped(Effect.gen(function*() {
        const url = config.url ?? Redacted.make("")
        const { keyspace: inSecond, other } = yield* openOn(withSettings({ url }, { search_path: second }))
        deepStrictEqual(yield* keysOf(inSecond), [])
        yield* inSecond.set("k", "second")
        const tables = yield* other`SELECT relname FROM pg_class
          WHERE relkind = 'r' AND relnamespace = ${second}::regnamespace ORDER BY 1`
        deepStrictEqual(tables, [
          { relname: yield* tableOf(other, "test") },
          { relname: "kv_catalog" },
          { relname: "kv_migrations" }
        ])
      }))
      deepStrictEqual(yield* valueOf(keyspace, "k"), "first")
    }))
})
