/** Files that somebody else has damaged. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Cause, Chunk, Effect, ExecutionStrategy, Exit, Option, Scope, Stream, Utils } from "effect"
import { Sqlite, Storage, StorageError } from "effect-kv"
import * as fs from "node:fs"
import { keysOf, open, tempFile } from "./support.js"

const pageSize = 4096
const keys = Array.from({ length: 2000 }, (_, i) => `key ${String(i * 7919 % 2000).padStart(4, "0")}`)
const later = 4e12

/** What is first written to a key. `large` also fills pages that belong to one value alone. */
const valueOf = (key: string, large: boolean) =>
  `first value of ${key} ${"x".repeat(large && key.endsWith("7") ? 10_000 : 150)}`

const filled = (filename: string, large: boolean) =>
  Effect.scoped(Effect.gen(function*() {
    const { storage } = yield* open({ filename })
    const keyspace = yield* storage.keyspace("test")
    yield* storage.keyspace("other")
    yield* keyspace.setMany(
      keys.map((key, i) => ({ expiresAt: i % 3 === 0 ? later : undefined, key, value: valueOf(key, large) }))
    )
  }))

/** The pages that are nodes of a table or an index, the first of the file apart. */
const nodes = (filename: string) => {
  const db = new Database(filename, { readonly: true })
  const rows = db.prepare("SELECT pageno, pagetype FROM dbstat WHERE pageno > 1").all() as Array<
    { readonly pageno: number; readonly pagetype: string }
  >
  db.close()
  return rows.filter(({ pagetype }) => pagetype !== "overflow").map(({ pageno }) => pageno)
}

const overwrite = (filename: string, at: number, bytes: Uint8Array) => {
  const file = fs.openSync(filename, "r+")
  fs.writeSync(file, bytes, 0, bytes.length, at)
  fs.closeSync(file)
}

const garbage = (random: Utils.PCGRandom, length: number) => {
  const bytes = Uint8Array.from({ length }, () => random.integer(256))
  // No kind of page begins with this.
  bytes[0] = 0xa5
  return bytes
}

/**
 * Damage that shows: pages of a table or an index as a whole. SQLite has no checksums, so that what changes within a
 * page may be a value like any other to it.
 */
const visible: Record<string, (filename: string, random: Utils.PCGRandom) => void> = {
  "a page": (filename, random) => {
    const pages = nodes(filename)
    overwrite(filename, (pages[random.integer(pages.length)]! - 1) * pageSize, garbage(random, pageSize))
  },
  "a third of the pages": (filename, random) => {
    for (const page of nodes(filename)) {
      if (random.integer(3) === 0) overwrite(filename, (page - 1) * pageSize, garbage(random, pageSize))
    }
  },
  "the header": (filename, random) => overwrite(filename, 0, garbage(random, 100)),
  "the head of a page": (filename, random) => {
    const pages = nodes(filename)
    overwrite(filename, (pages[random.integer(pages.length)]! - 1) * pageSize, garbage(random, 100))
  },
  "the second half": (filename, random) => {
    const pages = Math.floor(fs.statSync(filename).size / pageSize)
    fs.truncateSync(filename, (1 + random.integer(pages - 1)) * pageSize)
  },
  "zeros": (filename, random) => {
    const pages = nodes(filename)
    overwrite(filename, (pages[random.integer(pages.length)]! - 1) * pageSize, new Uint8Array(pageSize))
  }
}

/** Anything anywhere. What a value holds may be other than what was written, without SQLite's noticing. */
const anywhere: Record<string, (filename: string, random: Utils.PCGRandom) => void> = {
  "a cut": (filename, random) => fs.truncateSync(filename, random.integer(fs.statSync(filename).size)),
  "garbage": (filename, random) => {
    const length = 1 + random.integer(10_000)
    overwrite(filename, random.integer(fs.statSync(filename).size - length), garbage(random, length))
  },
  "single bytes": (filename, random) => {
    for (let i = 0; i < 200; i++) {
      overwrite(filename, random.integer(fs.statSync(filename).size), Uint8Array.of(random.integer(256)))
    }
  },
  "swapped pages": (filename, random) => {
    const pages = nodes(filename)
    const bytes = fs.readFileSync(filename)
    const [a, b] = [0, 0].map(() => (pages[random.integer(pages.length)]! - 1) * pageSize) as [number, number]
    overwrite(filename, a, bytes.subarray(b, b + pageSize))
    overwrite(filename, b, bytes.subarray(a, a + pageSize))
  }
}

interface Use {
  readonly filename: string
  readonly random: Utils.PCGRandom
  readonly strict: boolean
  readonly valueOf: (key: string) => string
  readonly where: string
  readonly tally: Map<string, number>
}

/** Uses all of the store; every answer is right, or a failure that says what is wrong. */
const use = ({ filename, random, strict, tally, valueOf, where }: Use) =>
(
  { sql, storage }: { readonly sql: SqliteClient.SqliteClient; readonly storage: Storage.Storage["Type"] },
  keyspace: Storage.Keyspace
) =>
  Effect.gen(function*() {
    /** What a key may hold: a write that fails has not happened. */
    const model = new Map<string, string>(keys.map((key) => [key, valueOf(key)]))
    const count = (name: string) => tally.set(name, (tally.get(name) ?? 0) + 1)
    const attempt = <A>(name: string, effect: Effect.Effect<A, unknown>, onSuccess: (answer: A) => boolean) =>
      Effect.map(Effect.exit(effect), (exit) => {
        const what = `${where}: ${name}`
        if (Exit.isSuccess(exit)) {
          const right = onSuccess(exit.value)
          if (strict) assert.isTrue(right, `${what} answered ${JSON.stringify(exit.value)?.slice(0, 300)}`)
          count(right ? "right" : "wrong, and SQLite does not notice")
          return
        }
        count(checked(exit.cause, what, strict))
      })
    const isRight = (entry: Option.Option<Storage.Entry>, key: string) =>
      Option.getOrUndefined(entry)?.value === model.get(key)
    const some = Array.from({ length: 30 }, () => keys[random.integer(keys.length)]!)

    for (const key of some) yield* attempt(`get ${key}`, keyspace.get(key), (entry) => isRight(entry, key))
    yield* attempt(
      "getMany",
      keyspace.getMany(some),
      (entries) => entries.every((entry, i) => isRight(entry, some[i]!))
    )
    const written = (entry: Storage.Entry) => entry.value === model.get(entry.key)
    for (const reverse of [false, true]) {
      yield* attempt(
        "entries",
        Effect.map(Stream.runCollect(keyspace.entries({ reverse })), Chunk.toArray),
        (entries) => entries.length === model.size && entries.every(written)
      )
    }
    yield* attempt("keys", keysOf(keyspace), (found) => found.length === model.size)
    yield* attempt("stat", keyspace.stat(), ({ entries }) => entries === model.size)
    yield* attempt("range", Effect.map(Stream.runCollect(keyspace.entries({ prefix: "key 01" })), Chunk.toArray), (_) =>
      _.length === 100 && _.every(written))
    for (const key of some.slice(0, 10)) {
      yield* attempt(`set ${key}`, keyspace.set(key, `second ${key}`, later), () => {
        model.set(key, `second ${key}`)
        return true
      })
      yield* attempt(`get ${key} after set`, keyspace.get(key), (entry) =>
        isRight(entry, key))
    }
    for (const key of some.slice(10, 15)) {
      yield* attempt(
        `modify ${key}`,
        keyspace.modify(key, (entry) => [entry, Storage.put(`third ${key}`)]),
        (entry) => {
          const right = isRight(entry, key)
          model.set(key, `third ${key}`)
          return right
        }
      )
      yield* attempt(`get ${key} after modify`, keyspace.get(key), (entry) =>
        isRight(entry, key))
    }
    yield* attempt(
      "transaction",
      storage.transaction(Effect.forEach(some.slice(15, 20), (key) => keyspace.set(key, `fourth ${key}`))),
      () => {
        for (const key of some.slice(15, 20)) model.set(key, `fourth ${key}`)
        return true
      }
    )
    for (const key of some.slice(15, 25)) {
      yield* attempt(`get ${key} later`, keyspace.get(key), (entry) => isRight(entry, key))
    }
    // Several fibers, whose writes share a transaction.
    const together = some.slice(0, 5)
    yield* Effect.forEach(together, (key) =>
      attempt(`set ${key} together`, keyspace.set(key, `fifth ${key}`), () => {
        model.set(key, `fifth ${key}`)
        return true
      }), { concurrency: "unbounded" })
    for (const key of together) {
      yield* attempt(`get ${key} after all`, keyspace.get(key), (entry) => isRight(entry, key))
    }
    yield* attempt("remove", keyspace.remove(some[25]!), (removed) => {
      const had = model.delete(some[25]!)
      return removed === had
    })
    yield* attempt("take", keyspace.take({}, 3), (entries) => {
      const right = entries.length === 3 && entries.every(written)
      for (const { key } of entries) model.delete(key)
      return right
    })
    const gone = new Set(some.slice(26))
    yield* attempt("removeMany", keyspace.removeMany(gone), (removed) => {
      const had = Array.from(gone).filter((key) => model.delete(key))
      return removed === had.length
    })
    yield* attempt("removeExpired", keyspace.removeExpired({ limit: 100 }), ({ removed }) => removed === 0)
    yield* attempt("compact", storage.maintenance.compact, (removed) => removed === 0)
    yield* attempt("stats", storage.maintenance.stats, () => true)
    yield* attempt("new keyspace", storage.keyspace("new"), () => true)
    const integrity = yield* Effect.exit(
      Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql)
    )
    if (Exit.isFailure(integrity)) checked(integrity.cause, `${where}: integrityCheck`, strict)
    yield* attempt(
      "setMany",
      keyspace.setMany(
        some.map((key) => ({ expiresAt: undefined, key, value: valueOf(key) }))
      ),
      () => true
    )
    yield* attempt("clear", keyspace.clear(), () => true)
    assert.isTrue(fs.existsSync(filename))
  })

/** Fails unless it is a failure that names the damage. */
const checked = (cause: Cause.Cause<unknown>, what: string, strict: boolean): string => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (!(failure instanceof StorageError.StorageError)) throw new Error(`${what}: ${Cause.pretty(cause)}`)
  // Where anything may have changed, the tables may say that they are another program's.
  const expected = strict ? ["Corrupt", "NotADatabase"] : ["Corrupt", "NotADatabase", "Incompatible", "Unknown"]
  assert.include(expected, failure.reason, `${what}: ${failure.message}`)
  return failure.reason
}

describe("a damaged file", () => {
  const seeds = 5
  for (const [name, damages, strict] of [["visibly", visible, true], ["anywhere", anywhere, false]] as const) {
    for (const when of ["closed", "open"] as const) {
      it.scopedLive(
        `${name}, while it is ${when}: every answer is ${strict ? "right or a" : "an answer or a"} typed failure`,
        () =>
          Effect.gen(function*() {
            const original = yield* tempFile
            yield* filled(original, !strict)
            const bytes = fs.readFileSync(original)
            const tally = new Map<string, number>()
            const filename = yield* tempFile
            for (const [kind, damage] of Object.entries(damages)) {
              for (let seed = 0; seed < seeds; seed++) {
                const where = `${kind} damaged, seed ${seed}`
                const random = new Utils.PCGRandom(seed + 1)
                for (const end of ["-wal", "-shm"]) fs.rmSync(`${filename}${end}`, { force: true })
                fs.writeFileSync(filename, bytes)
                if (when === "closed") damage(filename, random)
                const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
                // So little memory for pages that they are read from the file.
                const opened = yield* Effect.gen(function*() {
                  const store = yield* open({ cacheSize: 16_384, filename })
                  return { keyspace: yield* store.storage.keyspace("test"), store }
                }).pipe(Scope.extend(scope), Effect.exit)
                if (Exit.isFailure(opened)) {
                  const reason = checked(opened.cause, `${where}: open`, strict)
                  tally.set(reason, (tally.get(reason) ?? 0) + 1)
                } else {
                  if (when === "open") {
                    // Some of it is in the WAL.
                    if (seed % 2 === 0) yield* opened.value.store.storage.keyspace("third")
                    damage(filename, random)
                  }
                  yield* use({
                    filename,
                    random,
                    strict,
                    tally,
                    valueOf: (key) => valueOf(key, !strict),
                    where
                  })(opened.value.store, opened.value.keyspace)
                }
                yield* Scope.close(scope, Exit.void)
              }
            }
            console.log(`damaged ${name} while ${when}: ${JSON.stringify(Object.fromEntries(tally))}`)
            // The damage was met, and did not take everything.
            assert.isAbove(tally.get("Corrupt") ?? 0, 10)
            assert.isAbove(tally.get("right") ?? 0, 10)
          }),
        60_000
      )
    }
  }
})
