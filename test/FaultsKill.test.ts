/** Processes that end without a word while they write. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, ExecutionStrategy, Exit, Option, Scope, Utils } from "effect"
import { Sqlite } from "effect-kv"
import { counters, manyKeys, numberIn, setters, transactors } from "./fixtures/written.js"
import { child, damage, keysOf, linesOf, open, tempFile } from "./support.js"

/** What a file holds, checked for being sound and whole: the number that each writer has come to. */
const numbers = (filename: string) =>
  Effect.scoped(Effect.gen(function*() {
    const { sql, storage } = yield* open({ filename })
    deepStrictEqual(yield* Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql), [])
    const first = yield* storage.keyspace("first")
    const second = yield* storage.keyspace("second")
    const found = new Map<string, number>()
    for (const name of [...setters, "count"]) found.set(name, numberIn(yield* first.get(name)))
    const many = new Set((yield* first.getMany(manyKeys)).map(numberIn))
    deepStrictEqual(many.size, 1, `a part of a setMany: ${Array.from(many).join(", ")}`)
    found.set("many", Array.from(many)[0]!)
    const inSecond: Array<string> = []
    for (const name of transactors) {
      const n = numberIn(yield* first.get(name))
      found.set(name, n)
      if (n === 0) continue
      inSecond.push(`${name}/${n}`)
      deepStrictEqual(numberIn(yield* second.get(`${name}/${n}`)), n, `a part of ${name}`)
    }
    deepStrictEqual(yield* keysOf(second), inSecond)
    return found
  }))

/** The highest number that was acknowledged, by writer. A line that was cut off acknowledges nothing. */
const acknowledged = (lines: ReadonlyArray<string>) => {
  const highest = new Map<string, number>()
  for (const line of lines) {
    assert.isFalse(line.startsWith("failed"), line)
    const [, name = "", n = ""] = /^(.+) (\d+)\.$/.exec(line) ?? []
    if (name !== "") highest.set(name, Math.max(highest.get(name) ?? 0, Number(n)))
  }
  return highest
}

/** How many writes of one name can be under way at once. */
const underWay = (name: string) => name === "count" ? counters.length : 1

/** `most` is how many acknowledgements a process is left to live for. */
const killing = (seed: number, kills: number, most: number, options: Omit<Sqlite.Options, "filename">) =>
  Effect.gen(function*() {
    const random = new Utils.PCGRandom(seed)
    const filename = yield* tempFile
    let before = new Map<string, number>()
    let writes = 0
    for (let kill = 1; kill <= kills; kill++) {
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const writer = yield* Scope.extend(child("write.ts", [JSON.stringify({ ...options, filename })]), scope)
      const lines: Array<string> = []
      // Every fifth is killed while it opens the file and recovers what the one before left.
      const until = kill % 5 === 0 ? 1 : 1 + random.integer(most)
      while (lines.length < until) lines.push(yield* writer.line)
      // Not just behind an acknowledgement.
      yield* Effect.sleep(random.number() * (kill % 5 === 0 ? 40 : 3))
      yield* Scope.close(scope, Exit.void)
      lines.push(...yield* linesOf(writer))

      const told = acknowledged(lines)
      const found = yield* numbers(filename)
      for (const [name, n] of found) {
        const least = told.get(name) ?? before.get(name) ?? 0
        const where = `seed ${seed}, kill ${kill}, ${name}: acknowledged ${least}, found ${n}`
        assert.isAtLeast(n, least, where)
        assert.isAtMost(n, least + underWay(name), where)
      }
      before = found
      writes += lines.length
    }
    // A test in which nothing was written would say nothing.
    assert.isAbove(writes, kills * 20)
    for (const [name, n] of before) assert.isAbove(n, 0, name)
    return { filename, writes }
  })

describe("a process that is killed while it writes", () => {
  it.scopedLive(
    "leaves every acknowledged write, whole transactions and a sound file, 50 times",
    () =>
      Effect.gen(function*() {
        const lanes = yield* Effect.all({
          "DELETE, FULL": killing(3, 10, 150, { journalMode: "DELETE", synchronous: "FULL" }),
          "WAL, FULL": killing(2, 15, 500, { synchronous: "FULL" }),
          "WAL, NORMAL": killing(1, 25, 1500, {})
        }, { concurrency: "unbounded" })
        const told = Object.entries(lanes).map(([name, { writes }]) => `${name}: ${writes}`)
        console.log(`50 kills, acknowledged writes by journal mode and synchronous: ${told.join("; ")}`)
      }),
    400_000
  )
})

describe("a process that ends without closing its scope", () => {
  for (const how of ["exit", "throw", "abort"] as const) {
    for (const journalMode of ["WAL", "DELETE"] as const) {
      it.scopedLive(`by ${how}, in journal mode ${journalMode}, has lost nothing that was acknowledged`, () =>
        Effect.gen(function*() {
          const filename = yield* tempFile
          const lines = yield* linesOf(yield* child("exit.ts", [JSON.stringify({ filename, journalMode }), how]))
          deepStrictEqual(lines, ["acknowledged"])
          deepStrictEqual(yield* damage(filename), [])
          const { storage } = yield* open({ filename })
          const keyspace = yield* storage.keyspace("first")
          const other = yield* storage.keyspace("second")
          const keys = yield* keysOf(keyspace)
          const written = new Set(keys)
          const all = [
            ...Array.from({ length: 100 }, (_, i) => `concurrent ${i}`),
            ...Array.from({ length: 1000 }, (_, i) => `many ${i}`),
            ...["both", "last", "modified", "single"]
          ]
          deepStrictEqual(all.filter((key) => !written.has(key)), [])
          deepStrictEqual(keys.filter((key) => !key.startsWith("late")), all.sort())
          const values = yield* keyspace.getMany(keys)
          deepStrictEqual(values.map((entry) => Option.getOrThrow(entry).value), keys)
          // Nobody was told about this one.
          deepStrictEqual(yield* keysOf(other), written.has("late both") ? ["both", "late both"] : ["both"])
        }))
    }
  }
})
