/** Several processes that want the same things of one database. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option, Redacted } from "effect"
import type { Got } from "./fixtures/contended.js"
import { rounds } from "./fixtures/contended.js"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { clientOf, storageOn } from "./postgres/stores.js"
import { child, damage, keysOf, open, tempFile } from "./support.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const ascending = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)

/** Where the processes find the database, a client of the test's own, and what is wrong with the database. */
const databases = [
  {
    counts: [2, 4, 8],
    make: Effect.map(tempFile, (filename) => ({
      damage: damage(filename),
      open: Effect.map(open({ filename }), ({ storage }) => storage),
      where: filename
    })),
    name: "SQLite",
    why: undefined
  },
  {
    counts: [2, 4],
    make: Effect.map(freshSchema, ({ url }) => ({
      damage: Effect.succeed([]),
      open: Effect.flatMap(clientOf({ url }), storageOn),
      where: Redacted.value(url)
    })),
    name: "PostgreSQL",
    why: unavailable
  }
]

const cases = databases.flatMap(({ counts, ...database }) => counts.map((count) => ({ ...database, count })))

for (const { count, make, name, why } of cases) {
  describeUnless(why, `processes that want the same things on ${name}`, () => {
    it.scopedLive(
      `${count} of them: sums are exact, every round has one winner, and nobody is told Busy`,
      () =>
        Effect.gen(function*() {
          const database = yield* make
          yield* Effect.scoped(Effect.gen(function*() {
            const storage = yield* database.open
            const entry = (key: string) => ({ expiresAt: undefined, key, value: `value of ${key}` })
            yield* (yield* storage.keyspace("default")).setMany(numbers(rounds.one).map((i) => entry(`one/${i}`)))
            yield* (yield* storage.keyspace("queue")).setMany(numbers(rounds.queue).map((i) => entry(`q${i}`)))
          }))

          const processes = yield* Effect.forEach(
            numbers(count),
            (i) => child("contend.ts", [database.where, `process ${i}`]),
            { concurrency: "unbounded" }
          )
          for (let kind = 0; kind < 5; kind++) {
            for (const { line } of processes) assert.strictEqual(yield* line, "ready")
            for (const { send } of processes) yield* send("go")
          }
          const got: Array<Got> = []
          for (const { line } of processes) {
            const result = yield* line
            assert.isFalse(result.startsWith("failed"), result)
            got.push(JSON.parse(result))
          }
          console.log(`${count} processes on ${name}: ${
            got.map((_) =>
              `inserts ${_.inserted.length}, steps ${_.steps.length}, takes ${_.takenOne.length} + ${_.taken.length}, ` +
              `longest ${Math.round(_.longest)} ms`
            ).join("; ")
          }`)

          deepStrictEqual(
            ascending(got.flatMap(({ inserted }) =>
              inserted
            )),
            numbers(rounds.insert)
          )
          deepStrictEqual(ascending(got.flatMap(({ steps }) => steps)), numbers(rounds.steps))
          deepStrictEqual(ascending(got.flatMap(({ takenOne }) => takenOne)), numbers(rounds.one))
          deepStrictEqual(
            got.flatMap(({ taken }) => taken).sort(),
            numbers(rounds.queue).map((i) => `q${i}=value of q${i}`).sort()
          )
          const storage = yield* database.open
          const plain = yield* storage.keyspace("default")
          const valueIn = (keyspace: typeof plain, key: string) =>
            Effect.map(keyspace.get(key), (entry) => Option.getOrThrow(entry).value)
          const sum = String(count * rounds.counter)
          assert.strictEqual(yield* valueIn(plain, "number/counter"), sum)
          assert.strictEqual(yield* valueIn(plain, "number/together"), sum)
          assert.strictEqual(yield* valueIn(yield* storage.keyspace("raw"), "counter"), sum)
          assert.strictEqual(yield* valueIn(plain, "number/step"), String(rounds.steps))
          // The value is the winner's.
          for (const { inserted, name } of got) {
            for (const i of inserted) assert.strictEqual(yield* valueIn(plain, `insert/${i}`), name)
          }
          deepStrictEqual(yield* keysOf(yield* storage.keyspace("queue")), [])
          deepStrictEqual(yield* database.damage, [])
        }),
      60_000
    )
  })
}
