/** Several processes that want the same things of one file. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option } from "effect"
import type { Got } from "./fixtures/contended.js"
import { rounds } from "./fixtures/contended.js"
import { child, damage, keysOf, open, tempFile } from "./support.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const ascending = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)

describe("processes that want the same things", () => {
  for (const count of [2, 4, 8]) {
    it.scopedLive(
      `${count} of them: sums are exact, every round has one winner, and nobody is told Busy`,
      () =>
        Effect.gen(function*() {
          const filename = yield* tempFile
          yield* Effect.scoped(Effect.gen(function*() {
            const { storage } = yield* open({ filename })
            const entry = (key: string) => ({ expiresAt: undefined, key, value: `value of ${key}` })
            yield* (yield* storage.keyspace("default")).setMany(numbers(rounds.one).map((i) => entry(`one/${i}`)))
            yield* (yield* storage.keyspace("queue")).setMany(numbers(rounds.queue).map((i) => entry(`q${i}`)))
          }))

          const processes = yield* Effect.forEach(
            numbers(count),
            (i) => child("contend.ts", [filename, `process ${i}`]),
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
          console.log(`${count} processes: ${
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
          const { storage } = yield* open({ filename })
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
          deepStrictEqual(yield* damage(filename), [])
        }),
      60_000
    )
  }
})
