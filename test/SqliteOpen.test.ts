import { assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option } from "effect"
import type { Sqlite } from "effect-kv"
import { StorageError } from "effect-kv"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { child, fixture, open, tempFile, tempFolder } from "./support.js"

/** A database with a store in it, closed. */
const store = (filename: string, options: Partial<Sqlite.Options> = {}) =>
  Effect.scoped(Effect.gen(function*() {
    const { storage } = yield* open({ ...options, filename })
    const keyspace = yield* storage.keyspace("settings")
    yield* keyspace.setMany(
      Array.from({ length: 500 }, (_, i) => ({ expiresAt: undefined, key: `key ${i}`, value: "x".repeat(200) }))
    )
    yield* keyspace.set("theme", "dark")
  }))

/** How opening failed. A defect, and a database that opens and reads, are no failures. */
const failure = (options: Sqlite.Options) =>
  Effect.scoped(Effect.gen(function*() {
    const { storage } = yield* open(options)
    const keyspace = yield* storage.keyspace("settings")
    yield* keyspace.stat()
  })).pipe(
    Effect.exit,
    Effect.map((exit) => {
      if (Exit.isSuccess(exit)) throw new Error("it opened")
      const error = Option.getOrThrowWith(Cause.failureOption(exit.cause), () => new Error(Cause.pretty(exit.cause)))
      if (!(error instanceof StorageError.StorageError)) throw error
      return error
    })
  )

describe("opening what is no good database", () => {
  it.scopedLive("a folder is NotADatabase, and the message names it", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const error = yield* failure({ filename: folder })
      assert.strictEqual(error.reason, "NotADatabase")
      assert.include(error.message, folder)
      assert.strictEqual(error.method, "open")
    }))

  it.scopedLive("a text file is NotADatabase, and stays what it is", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const text = "These are notes and no database.\n".repeat(200)
      fs.writeFileSync(filename, text)
      assert.strictEqual((yield* failure({ filename })).reason, "NotADatabase")
      assert.strictEqual((yield* failure({ filename, readonly: true })).reason, "NotADatabase")
      assert.strictEqual(fs.readFileSync(filename, "utf8"), text)
    }))

  it.scopedLive("a file with a damaged header is NotADatabase or Corrupt", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* store(filename)
      const file = fs.openSync(filename, "r+")
      fs.writeSync(file, Buffer.alloc(100, 0xa5), 0, 100, 0)
      fs.closeSync(file)
      assert.include(["NotADatabase", "Corrupt"], (yield* failure({ filename })).reason)
    }))

  it.scopedLive("a file whose first page is damaged behind the header is Corrupt", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* store(filename)
      const file = fs.openSync(filename, "r+")
      fs.writeSync(file, Buffer.alloc(3900, 0xa5), 0, 3900, 100)
      fs.closeSync(file)
      assert.strictEqual((yield* failure({ filename })).reason, "Corrupt")
    }))

  it.scopedLive("a file that was cut off is Corrupt", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      yield* store(filename)
      assert.isAbove(fs.statSync(filename).size, 5 * 4096)
      fs.truncateSync(filename, 2 * 4096 + 100)
      assert.strictEqual((yield* failure({ filename })).reason, "Corrupt")
    }))

  it.scopedLive("a path through a file is Unavailable, to write and to read", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      fs.writeFileSync(path.join(folder, "notes.txt"), "notes")
      const filename = path.join(folder, "notes.txt/data.db")
      assert.strictEqual((yield* failure({ filename })).reason, "Unavailable")
      assert.strictEqual((yield* failure({ filename, readonly: true })).reason, "Unavailable")
    }))

  it.scopedLive("a name that no file can have is Unavailable, to write and to read", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      for (const name of ["data\0.db", "x".repeat(300)]) {
        const filename = path.join(folder, name)
        assert.strictEqual((yield* failure({ filename })).reason, "Unavailable")
        assert.strictEqual((yield* failure({ filename, readonly: true })).reason, "Unavailable")
      }
      deepStrictEqual(fs.readdirSync(folder), [])
    }))
})

describe("opening for reading", () => {
  it.scopedLive("a missing file is Unavailable, and neither it nor its folder is created", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      for (const filename of [path.join(folder, "data.db"), path.join(folder, "app/data.db")]) {
        const error = yield* failure({ filename, readonly: true })
        assert.strictEqual(error.reason, "Unavailable")
        assert.include(error.message, filename)
      }
      deepStrictEqual(fs.readdirSync(folder), [])
    }))

  for (const journalMode of ["WAL", "DELETE"] as const) {
    it.scopedLive(`a store in journal mode ${journalMode} is read, refuses writes as ReadOnly, and stays as it is`, () =>
      Effect.gen(function*() {
        const filename = yield* tempFile
        yield* store(filename, { journalMode })
        const before = fs.readFileSync(filename)
        yield* Effect.scoped(Effect.gen(function*() {
          const { sql, storage } = yield* open({ filename, readonly: true })
          const keyspace = yield* storage.keyspace("settings")
          assert.strictEqual(Option.getOrThrow(yield* keyspace.get("theme")).value, "dark")
          const entry = { expiresAt: undefined, key: "theme", value: "light" }
          const writes = {
            clear: keyspace.clear(),
            modify: keyspace.modify("theme", () => [undefined, { _tag: "Remove" }]),
            newKeyspace: storage.keyspace("other"),
            set: keyspace.set("theme", "light"),
            setMany: keyspace.setMany([entry]),
            transaction: storage.transaction(keyspace.set("theme", "light"))
          }
          for (const [name, write] of Object.entries<Effect.Effect<unknown, unknown>>(writes)) {
            const error = yield* Effect.flip(write)
            assert.instanceOf(error, StorageError.StorageError, name)
            assert.strictEqual(error.reason, "ReadOnly", name)
          }
          yield* Effect.flip(sql`CREATE TABLE log (message TEXT)`)
          assert.strictEqual(Option.getOrThrow(yield* keyspace.get("theme")).value, "dark")
        }))
        assert.isTrue(before.equals(fs.readFileSync(filename)))
      }))
  }
})

describe("opening what another process has locked", () => {
  const locked = Effect.gen(function*() {
    const filename = yield* tempFile
    // Not WAL, in which an exclusive lock does not keep readers out.
    yield* store(filename, { journalMode: "DELETE" })
    const holder = yield* child("hold.ts", [filename, "EXCLUSIVE"])
    assert.strictEqual(yield* holder.line, "held")
    return { filename, holder }
  })

  it.scopedLive("is Busy after lockTimeout, and opens once the lock is gone", () =>
    Effect.gen(function*() {
      const { filename, holder } = yield* locked
      const error = yield* failure({ filename, lockTimeout: "100 millis" })
      assert.strictEqual(error.reason, "Busy")
      assert.include(error.message, "lockTimeout")
      yield* holder.send("release")
      assert.strictEqual(yield* holder.line, "released")
      yield* open({ filename, lockTimeout: "100 millis" })
    }))

  it.scopedLive("opens when the lock is released in time", () =>
    Effect.gen(function*() {
      const { filename, holder } = yield* locked
      const opening = yield* Effect.fork(open({ filename, lockTimeout: "20 seconds" }))
      // Well into the retries, and not done.
      yield* Effect.sleep("100 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(opening)))
      yield* holder.send("release")
      const { storage } = yield* Fiber.join(opening)
      const keyspace = yield* storage.keyspace("settings")
      assert.strictEqual(Option.getOrThrow(yield* keyspace.get("theme")).value, "dark")
    }))
})

// Root may read and write everything, so that somebody else has to try.
const nobody = process.getuid?.() === 0 ? { gid: 65534, uid: 65534 } : {}
const reachable = nobody.uid === undefined || spawnSync(
      process.execPath,
      [
        "-e",
        "for (const file of process.argv.slice(1)) require('fs').accessSync(file, 4)",
        fixture("open.ts")
      ],
      { cwd: "/", ...nobody }
    ).status === 0
if (!reachable) {
  console.warn("SqliteOpen: user 65534 cannot read this checkout, so what needs a user other than root is not tried")
}

interface Outcome {
  readonly message: string
  readonly open: string
  readonly read: string
  readonly write: string
}

interface Attempt {
  readonly attempt: (options: Sqlite.Options) => Effect.Effect<Outcome>
  readonly user: number
}
const Attempt = Context.GenericTag<Attempt>("test/Attempt")

const AttemptLive = Layer.scoped(
  Attempt,
  Effect.gen(function*() {
    const process = yield* child("open.ts", [], nobody)
    const [, user] = (yield* process.line).split(" ")
    return {
      attempt: (options) =>
        Effect.map(Effect.zipRight(process.send(JSON.stringify(options)), process.line), (line) => JSON.parse(line)),
      user: Number(user)
    }
  })
)

describe.skipIf(!reachable)("opening without the rights for it", () => {
  layer(AttemptLive, { excludeTestServices: true })((it) => {
    const owned = (file: string, mode: number) =>
      Effect.sync(() => {
        if (nobody.uid !== undefined) fs.chownSync(file, nobody.uid, nobody.gid)
        fs.chmodSync(file, mode)
      })
    /** A folder of that user's with a store in it. */
    const prepared = (options: Partial<Sqlite.Options> = {}) =>
      Effect.gen(function*() {
        const top = yield* tempFolder
        fs.chmodSync(top, 0o755)
        const folder = path.join(top, "app")
        fs.mkdirSync(folder)
        const filename = path.join(folder, "data.db")
        yield* store(filename, options)
        yield* owned(folder, 0o755)
        yield* owned(filename, 0o644)
        yield* Effect.addFinalizer(() => owned(folder, 0o755))
        return { filename, folder }
      })

    it.scoped("the rights of a user other than root are what is tried, and are enough for a store of its own", () =>
      Effect.gen(function*() {
        const { attempt, user } = yield* Attempt
        assert.notStrictEqual(user, 0)
        const { filename } = yield* prepared()
        const outcome = yield* attempt({ filename })
        deepStrictEqual(outcome, { message: "", open: "ok", read: "ok", write: "ok" })
      }))

    it.scoped("a file that may not be read is Permission", () =>
      Effect.gen(function*() {
        const { attempt } = yield* Attempt
        const { filename } = yield* prepared()
        yield* owned(filename, 0)
        for (const readonly of [false, true]) {
          const outcome = yield* attempt({ filename, readonly })
          assert.strictEqual(outcome.open, "Permission", outcome.message)
          assert.include(outcome.message, filename)
        }
      }))

    it.scoped("a folder that may not be entered is Permission", () =>
      Effect.gen(function*() {
        const { attempt } = yield* Attempt
        const { filename, folder } = yield* prepared()
        yield* owned(folder, 0)
        const writing = yield* attempt({ filename })
        assert.strictEqual(writing.open, "Permission", writing.message)
        const reading = yield* attempt({ filename, readonly: true })
        assert.strictEqual(reading.open, "Permission", reading.message)
      }))

    for (const journalMode of ["WAL", "DELETE"] as const) {
      it.scoped(`a read-only file in journal mode ${journalMode} is ReadOnly when it is opened, with what to do`, () =>
        Effect.gen(function*() {
          const { attempt } = yield* Attempt
          const { filename } = yield* prepared({ journalMode })
          yield* owned(filename, 0o444)
          const outcome = yield* attempt({ filename })
          assert.strictEqual(outcome.open, "ReadOnly", JSON.stringify(outcome))
          assert.include(outcome.message, "readonly: true")
        }))

      it.scoped(`a read-only file in journal mode ${journalMode} can be opened for reading`, () =>
        Effect.gen(function*() {
          const { attempt } = yield* Attempt
          const { filename } = yield* prepared({ journalMode })
          yield* owned(filename, 0o444)
          const outcome = yield* attempt({ filename, readonly: true })
          deepStrictEqual(outcome, { message: "", open: "ok", read: "ok", write: "ReadOnly" })
        }))
    }

    it.scoped("a read-only folder is ReadOnly, where WAL needs to make files", () =>
      Effect.gen(function*() {
        const { attempt } = yield* Attempt
        const { filename, folder } = yield* prepared()
        yield* owned(folder, 0o555)
        const outcome = yield* attempt({ filename })
        assert.strictEqual(outcome.open, "ReadOnly", JSON.stringify(outcome))
        assert.include(outcome.message, "folder")
      }))

    it.scoped("a store without WAL in a read-only folder can be opened for reading", () =>
      Effect.gen(function*() {
        const { attempt } = yield* Attempt
        const { filename, folder } = yield* prepared({ journalMode: "DELETE" })
        yield* owned(folder, 0o555)
        const outcome = yield* attempt({ filename, readonly: true })
        deepStrictEqual(outcome, { message: "", open: "ok", read: "ok", write: "ReadOnly" })
      }))

    it.scoped("a new file in a read-only folder, and a folder that cannot be made, are Permission", () =>
      Effect.gen(function*() {
        const { attempt } = yield* Attempt
        const { folder } = yield* prepared()
        yield* owned(folder, 0o555)
        for (const name of ["new.db", "new/data.db"]) {
          const outcome = yield* attempt({ filename: path.join(folder, name) })
          assert.strictEqual(outcome.open, "Permission", JSON.stringify(outcome))
        }
        deepStrictEqual(fs.readdirSync(folder), ["data.db"])
      }))
  })
})
