/** Disks that are full, or may not be written. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option, Schema } from "effect"
import { KeyValueStore, Sqlite, Storage, StorageError } from "effect-kv"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { numberIn, transactors } from "./fixtures/written.js"
import { child, fixture, keysOf, open, tempFile, tempFolder } from "./support.js"

const reasonOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => error instanceof StorageError.StorageError ? error.reason : error)

/** A store in another process, and how to use it. */
const storeIn = (
  options: Sqlite.Options,
  as: { readonly gid?: number; readonly through?: ReadonlyArray<string>; readonly uid?: number } = {}
) =>
  Effect.gen(function*() {
    const process = yield* child("store.ts", [JSON.stringify(options)], as)
    const first = yield* process.line
    const ask = (...command: ReadonlyArray<unknown>) =>
      Effect.map(
        Effect.zipRight(process.send(JSON.stringify(command)), process.line),
        (line): readonly [true, unknown] | readonly [false, string, string] => JSON.parse(line)
      )
    const reason = (...command: ReadonlyArray<unknown>) =>
      Effect.map(ask(...command), (answer) => answer[0] ? "ok" : answer[1])
    const answer = (...command: ReadonlyArray<unknown>) =>
      Effect.map(ask(...command), (answer) => {
        assert.isTrue(answer[0], JSON.stringify([command, answer]))
        return answer[1]
      })
    return { answer, first, reason }
  })

describe("a database that may have no more pages", () => {
  it.scopedLive("fails what grows it as Full, keeps what it has, and goes on when there is room", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const { sql, storage } = yield* open({ filename })
      const store = yield* Effect.provideService(
        KeyValueStore.make({ keyspace: "typed", value: Schema.String }),
        Storage.Storage,
        storage
      )
      const keyspace = yield* storage.keyspace("first")
      const other = yield* storage.keyspace("second")
      const large = "x".repeat(1 << 20)
      const entry = (key: string, value = large) => ({ expiresAt: undefined, key, value })
      yield* keyspace.set("before", large)
      yield* keyspace.setMany([entry("a", "1"), entry("b", "2")])
      yield* store.set("before", "kept")
      const [{ page_count: pages = 0 } = {}] = yield* sql<{ readonly page_count: number }>`PRAGMA page_count`
      yield* sql.unsafe(`PRAGMA max_page_count = ${pages + 2}`)

      const writes: Record<string, Effect.Effect<unknown, unknown>> = {
        append: store.append("before", large),
        insert: store.insert("large", large),
        modify: keyspace.modify("a", () => [undefined, Storage.put(large)]),
        set: keyspace.set("large", large),
        setMany: keyspace.setMany([entry("c", "3"), entry("large"), entry("d", "4")]),
        storeModify: store.modify("before", () => [undefined, Option.some(large)]),
        storeSetMany: store.setMany([["c", "3"], ["large", large]]),
        swap: store.swap("before", large),
        transaction: storage.transaction(Effect.zipRight(other.set("t", "t"), keyspace.set("large", large)))
      }
      const reasons: Record<string, unknown> = {}
      for (const [name, write] of Object.entries(writes)) reasons[name] = yield* reasonOf(write)
      deepStrictEqual(reasons, Object.fromEntries(Object.keys(writes).map((name) => [name, "Full"])))
      // Of several in one turn, those that fit are written.
      const exits = yield* Effect.all(
        [keyspace.set("a", "3"), keyspace.set("large", large), keyspace.set("b", "4")].map(Effect.either),
        { concurrency: "unbounded" }
      )
      const told = exits.map((exit) =>
        exit._tag === "Right" ? "ok" : exit.left._tag === "StorageError" ? exit.left.reason : exit.left._tag
      )
      assert.strictEqual(told[1], "Full")

      deepStrictEqual(yield* keysOf(keyspace), ["a", "b", "before"])
      deepStrictEqual(yield* keysOf(other), [])
      const [a, b, before] = yield* keyspace.getMany(["a", "b", "before"])
      assert.strictEqual(Option.getOrThrow(a!).value, told[0] === "ok" ? "3" : "1")
      assert.strictEqual(Option.getOrThrow(b!).value, told[2] === "ok" ? "4" : "2")
      assert.strictEqual(Option.getOrThrow(before!).value, large)
      assert.strictEqual(yield* store.getOrFail("before"), "kept")
      deepStrictEqual(yield* Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql), [])

      // Room by removing, then room by allowing more of it.
      assert.isTrue(yield* keyspace.remove("before"))
      yield* keyspace.set("large", large.slice(1000))
      assert.strictEqual(yield* reasonOf(keyspace.set("larger", large)), "Full")
      yield* sql.unsafe("PRAGMA max_page_count = 100000")
      for (const write of Object.values(writes)) yield* write
      assert.strictEqual(Option.getOrThrow(yield* keyspace.get("a")).value, large)
      deepStrictEqual(yield* keysOf(other), ["t"])
      deepStrictEqual(yield* Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql), [])
    }))
})

// A mount in a namespace of its own is seen by nobody else, and gone with its process.
const mounted = (folder: string) => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  "mount -t tmpfs -o size=2m none \"$1\" && shift && exec \"$@\"",
  "sh",
  folder
]

const unmountable = Effect.gen(function*() {
  const [command = "", ...args] = mounted(yield* tempFolder)
  const tried = spawnSync(command, [...args, "true"], { encoding: "utf8" })
  return tried.status === 0 ? undefined : tried.error?.message ?? tried.stderr
})

describe("a disk that is full", () => {
  for (const journalMode of ["WAL", "DELETE"] as const) {
    it.scopedLive(
      `in journal mode ${journalMode}, fails writes as Full, keeps what it has, and goes on when there is room`,
      (ctx) =>
        Effect.gen(function*() {
          const why = yield* unmountable
          if (why !== undefined) return ctx.skip(`no file system of 2 MB can be mounted here: ${why}`)
          const folder = yield* tempFolder
          const { answer, first, reason } = yield* storeIn(
            { filename: path.join(folder, "data.db"), journalMode },
            { through: mounted(folder) }
          )
          assert.strictEqual(first, "open")
          const size = 20_000
          yield* answer("set", "before", size)
          yield* answer("setMany", "many", 20, 1000)

          // What does not fit at all.
          const writes: Record<string, ReadonlyArray<unknown>> = {
            modify: ["modify", "before", 4_000_000],
            set: ["set", "large", 4_000_000],
            setMany: ["setMany", "c", 100, 40_000],
            transaction: ["transaction", "t", 100, 40_000]
          }
          const full = Object.fromEntries(Object.keys(writes).map((name) => [name, "Full"]))
          const attempt = Effect.all(Object.fromEntries(
            Object.entries(writes).map(([name, write]) => [name, reason(...write)])
          ))

          // Something else takes all of the rest.
          assert.include(String(yield* answer("fill")), "ENOSPC")
          deepStrictEqual(yield* attempt, full)
          const stat = {
            bytes: 6 + size + Array.from({ length: 20 }, (_, i) => 1000 + `many${i}`.length).reduce((a, b) => a + b),
            entries: 21
          }
          deepStrictEqual(yield* answer("stat"), stat)
          assert.strictEqual(yield* answer("get", "before"), "x".repeat(size))
          assert.strictEqual(yield* answer("get", "many19"), "x".repeat(1000))
          assert.strictEqual(yield* answer("getOther", "t"), null)
          deepStrictEqual(yield* answer("integrity"), [])
          assert.strictEqual(yield* reason("sets", "s", 100, 40_000), "Full")

          // Small writes go on until there is no room for one of them, and each is there or refused.
          let written = 0
          let last = "ok"
          for (; last === "ok" && written < 5000; written++) last = yield* reason("set", `small${written}`, 3000)
          assert.strictEqual(last, "Full")
          for (let i = 0; i < written - 1; i++) {
            assert.strictEqual(yield* answer("get", `small${i}`), "x".repeat(3000))
          }
          assert.strictEqual(yield* answer("get", `small${written - 1}`), null)

          yield* answer("free")
          yield* answer("set", "after", 10_000)
          assert.strictEqual(yield* answer("remove", "before"), true)
          deepStrictEqual(yield* attempt, full)
          yield* answer("remount", "40m")
          for (const write of Object.values(writes)) yield* answer(...write)
          assert.strictEqual(yield* answer("getOther", "t"), "small")
          assert.strictEqual(yield* answer("get", "large"), "x".repeat(4_000_000))
          deepStrictEqual(yield* answer("integrity"), [])
          deepStrictEqual(yield* answer("close"), null)
        }),
      60_000
    )
  }
})

// Root may write everything, so that somebody else has to try.
const nobody = process.getuid?.() === 0 ? { gid: 65534, uid: 65534 } : {}

describe("a database that may not be written", () => {
  const why = nobody.uid === undefined || spawnSync(
        process.execPath,
        ["-e", "for (const file of process.argv.slice(1)) require('fs').accessSync(file, 4)", fixture("store.ts")],
        { cwd: "/", ...nobody }
      ).status === 0
    ? undefined
    : "user 65534 cannot read this checkout"

  const writes: Record<string, ReadonlyArray<unknown>> = {
    clear: ["clear"],
    modify: ["modify", "before", 10],
    newKeyspace: ["newKeyspace"],
    remove: ["remove", "before"],
    removeMany: ["removeMany", ["before", "many0"]],
    set: ["set", "before", 10],
    setMany: ["setMany", "many", 10, 10],
    sets: ["sets", "many", 10, 10],
    take: ["take"],
    transaction: ["transaction", "t", 10, 10]
  }
  const readonly = Object.fromEntries(Object.keys(writes).map((name) => [name, "ReadOnly"]))

  const filled = (options: Sqlite.Options) =>
    Effect.scoped(Effect.gen(function*() {
      const { storage } = yield* open(options)
      const keyspace = yield* storage.keyspace("first")
      yield* storage.keyspace("second")
      yield* keyspace.setMany(
        ["before", ...Array.from({ length: 500 }, (_, i) => `many${i}`)].map((key) => ({
          expiresAt: undefined,
          key,
          value: "x".repeat(100)
        }))
      )
    }))

  for (const journalMode of ["WAL", "DELETE"] as const) {
    it.scopedLive(`nor its folder, in journal mode ${journalMode}: reads are right, and writes are ReadOnly`, (ctx) =>
      Effect.gen(function*() {
        if (why !== undefined) return ctx.skip(why)
        const top = yield* tempFolder
        fs.chmodSync(top, 0o755)
        const folder = path.join(top, "app")
        const filename = path.join(folder, "data.db")
        yield* filled({ filename, journalMode })
        // In WAL mode SQLite cannot read without its other files, which it may not make here.
        if (journalMode === "WAL") yield* child("hold.ts", [filename, "READ"]).pipe(Effect.flatMap(({ line }) => line))
        for (const name of fs.readdirSync(folder)) {
          if (nobody.uid !== undefined) fs.chownSync(path.join(folder, name), nobody.uid, nobody.gid)
          fs.chmodSync(path.join(folder, name), 0o444)
        }
        const before = fs.readFileSync(filename)
        if (nobody.uid !== undefined) fs.chownSync(folder, nobody.uid, nobody.gid)
        fs.chmodSync(folder, 0o555)
        yield* Effect.addFinalizer(() => Effect.sync(() => fs.chmodSync(folder, 0o755)))

        const { answer, first, reason } = yield* storeIn({ filename, readonly: true }, nobody)
        assert.strictEqual(first, "open")
        for (let round = 0; round < 2; round++) {
          deepStrictEqual(
            yield* Effect.all(Object.fromEntries(
              Object.entries(writes).map(([name, write]) => [name, reason(...write)])
            )),
            readonly
          )
          assert.strictEqual(yield* answer("get", "before"), "x".repeat(100))
          assert.strictEqual(yield* answer("get", "missing"), null)
          assert.strictEqual(yield* answer("getOther", "t"), null)
          deepStrictEqual(yield* answer("integrity"), [])
        }
        // Nothing is lost by being asked to clear up.
        assert.include(["ok", "ReadOnly"], yield* reason("compact"))
        deepStrictEqual(yield* answer("close"), null)
        assert.isTrue(before.equals(fs.readFileSync(filename)))
      }))

    it.scopedLive(
      `in journal mode ${journalMode}, by this process, is read while another writes it`,
      () =>
        Effect.gen(function*() {
          const filename = yield* tempFile
          yield* filled({ filename, journalMode })
          const { storage } = yield* open({ filename, readonly: true, lockTimeout: "30 seconds" })
          const keyspace = yield* storage.keyspace("first")
          const second = yield* storage.keyspace("second")
          const writer = yield* child("write.ts", [
            JSON.stringify({ filename, journalMode, lockTimeout: "30 seconds" })
          ])
          let last = 0
          let reads = 0
          const seen = new Set<number>()
          // What is read is whole and never older than what was told before.
          while (seen.size < 8) {
            const [, name = "", told = ""] = /^(.+) (\d+)\.$/.exec(yield* writer.line) ?? []
            if (name !== transactors[0]) continue
            const n = numberIn(yield* keyspace.get(name))
            assert.isAtLeast(n, Math.max(last, Number(told)))
            const rest = yield* keysOf(second)
            assert.isTrue(rest.every((key) => Number(key.split("/")[1]) >= n || !key.startsWith(name)), rest.join(", "))
            last = n
            seen.add(n)
            if (reads++ % 3 === 0) {
              const refused = [
                yield* reasonOf(keyspace.set("before", "y")),
                yield* reasonOf(keyspace.modify("before", () => [undefined, Storage.remove])),
                yield* reasonOf(storage.transaction(second.set("t", "t")))
              ]
              deepStrictEqual(refused, ["ReadOnly", "ReadOnly", "ReadOnly"])
            }
            assert.strictEqual(Option.getOrThrow(yield* keyspace.get("before")).value, "x".repeat(100))
          }
        }),
      60_000
    )
  }
})
