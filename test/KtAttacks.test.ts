/** What adversaries tried against KtCompat, and what has to come of it. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, Exit, Option } from "effect"
import { Storage } from "effect-kv"
import { describeOn, kinds } from "./engines.js"
import { bytes } from "./ktCompat.js"

const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

/** Keys in whose order something may go wrong. */
const awkward = [
  ...["", "00", "0000", "01", "7f", "80", "c328", "feff", "ff", "ff00", "ffff", "ffff01"].map((digits) =>
    Uint8Array.from(Buffer.from(digits, "hex"))
  ),
  new Uint8Array(2048).fill(0xff)
]

for (const engine of kinds) {
  describeOn(engine, "attacks on keys and on what modify puts along", () => {
    const test = (
      title: string,
      body: (keyspace: Storage.Keyspace<Uint8Array>, storage: Storage.Storage["Type"]) => Effect.Effect<void, unknown>
    ) =>
      it.live(title, () =>
        Effect.provide(
          Effect.gen(function*() {
            const storage = yield* Storage.Storage
            yield* body(yield* storage.keyspace("attacks", { keys: "bytes" }), storage)
          }),
          engine.layer
        ))

    const valueAt = (keyspace: Storage.Keyspace<Uint8Array>, key: string) =>
      Effect.map(keyspace.get(bytes(key)), (entry) => Option.getOrUndefined(entry)?.value)

    test("every range of byte keys holds what it says, forward and backward", (keyspace) =>
      Effect.gen(function*() {
        yield* keyspace.setMany(awkward.map((key) => ({ expiresAt: undefined, key, value: "v" })))
        const sorted = [...awkward].sort(compare)
        const check = (
          range: Storage.Range<Uint8Array>,
          isIn: (key: Uint8Array) => boolean
        ) =>
          Effect.map(keyspace.peek(range, Infinity), (entries) => {
            const wanted = sorted.filter(isIn)
            if (range.reverse === true) wanted.reverse()
            deepStrictEqual(entries.map(({ key }) => key), wanted)
          })
        for (const reverse of [false, true]) {
          for (const key of awkward) {
            const isAfter = (other: Uint8Array) => reverse ? compare(other, key) < 0 : compare(other, key) > 0
            const begins = (other: Uint8Array) => compare(other.subarray(0, key.length), key) === 0
            yield* check({ prefix: key, reverse }, begins)
            yield* check({ from: key, reverse }, (other) => compare(other, key) >= 0)
            yield* check({ reverse, to: key }, (other) => compare(other, key) < 0)
            yield* check({ reverse, through: key }, (other) => compare(other, key) <= 0)
            yield* check({ after: key, reverse }, isAfter)
            for (const prefix of awkward) {
              yield* check({ after: key, prefix, reverse }, (other) =>
                isAfter(other) && compare(other.subarray(0, prefix.length), prefix) === 0)
            }
          }
        }
      }))

    test("what modify puts along: the last of a key wins, also over the record itself", (keyspace) =>
      Effect.gen(function*() {
        const other = (key: string, value: string) => ({ expiresAt: undefined, key: bytes(key), value })
        yield* keyspace.modify(bytes("same"), () => [0, Storage.put("main", undefined, [other("same", "along")])])
        assert.strictEqual(yield* valueAt(keyspace, "same"), "along")
        yield* keyspace.modify(bytes("m"), () => [
          0,
          Storage.put("main", undefined, Array.from({ length: 1203 }, (_, i) => other(`m${i % 600}`, `v${i}`)))
        ])
        assert.strictEqual(yield* valueAt(keyspace, "m0"), "v1200")
        assert.strictEqual(yield* valueAt(keyspace, "m599"), "v1199")
      }))

    test("modify writes nothing if one of those along cannot be written, also among others of one turn", (keyspace) =>
      Effect.gen(function*() {
        const along = (key: string, value: string) => [
          { expiresAt: undefined, key: bytes("first"), value: "v" },
          { expiresAt: undefined, key: bytes(key), value }
        ]
        const bad = [along("x".repeat(2049), "v"), along("second", "\ud800")]
        const all = yield* Effect.forEach(
          [...bad, ...bad],
          (others) => Effect.exit(keyspace.modify(bytes("main"), () => [0, Storage.put("v", undefined, others)])),
          { concurrency: "unbounded" }
        )
        assert.isTrue(all.every(({ _tag }) => _tag === "Failure"))
        deepStrictEqual(yield* keyspace.stat(), { bytes: 0, entries: 0 })
      }))

    test("what modify puts along is undone with a savepoint", (keyspace, storage) =>
      Effect.gen(function*() {
        const write = (value: string) =>
          keyspace.modify(bytes("main"), () => [
            0,
            Storage.put(value, undefined, [{ expiresAt: undefined, key: bytes("along"), value }])
          ])
        yield* storage.transaction(Effect.gen(function*() {
          yield* write("kept")
          yield* Effect.ignore(storage.transaction(Effect.zipRight(write("undone"), Effect.fail("no"))))
        }))
        assert.strictEqual(yield* valueAt(keyspace, "main"), "kept")
        assert.strictEqual(yield* valueAt(keyspace, "along"), "kept")
      }))

    test("a modify that throws is a defect, and leaves the storage as it was, and open to others", (keyspace) =>
      Effect.gen(function*() {
        yield* keyspace.set(bytes("key"), "before")
        const exit = yield* Effect.exit(keyspace.modify(bytes("key"), () => {
          throw new Error("of the test")
        }))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDieType(exit.cause))
        assert.strictEqual(yield* valueAt(keyspace, "key"), "before")
        yield* keyspace.set(bytes("key"), "after")
        assert.strictEqual(yield* valueAt(keyspace, "key"), "after")
      }))
  })
}
