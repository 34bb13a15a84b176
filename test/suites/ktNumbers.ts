/** What KtCompat promises of records that are numbers. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option } from "effect"
import type { KtCompat } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { hex, ktError, testOn, unhex } from "../ktCompat.js"

const max = 2n ** 63n - 1n
const min = -(2n ** 63n)

/** Numbers with 15 decimals, and their bytes. */
const golden: ReadonlyArray<readonly [number, string]> = [
  [0, "00000000000000000000000000000000"],
  [-0, "00000000000000000000000000000000"],
  [1, "00000000000000010000000000000000"],
  [-1, "ffffffffffffffff0000000000000000"],
  [-1.5, "fffffffffffffffffffe3940ad9cc000"],
  [3.25, "00000000000000030000e35fa931a000"],
  [1e-15, "00000000000000000000000000000001"],
  [1e-16, "00000000000000000000000000000000"],
  [Infinity, "7fffffffffffffff0000000000000000"],
  [-Infinity, "80000000000000000000000000000000"]
]

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat numbers", () => {
    const test = testOn(engine)
    const stored = (kt: KtCompat.KtCompat<string, string>, key = "n") =>
      Effect.map(kt.getBytes(key), (bytes) => hex(Option.getOrThrow(bytes)))

    describe("U36: increment", () => {
      test("adds to 0 or a number; 1 by default; numbers and bigints", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.increment("n"), 1n)
          assert.strictEqual(yield* kt.increment("n"), 2n)
          assert.strictEqual(yield* kt.increment("n", 40), 42n)
          assert.strictEqual(yield* kt.increment("n", -50n), -8n)
          assert.strictEqual(yield* stored(kt), "fffffffffffffff8")
          deepStrictEqual(yield* kt.length("n"), Option.some(8))
        }))

      test("any record of eight bytes is a number, and no other", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("n", "12345678")
          assert.strictEqual(yield* kt.increment("n"), 0x3132333435363739n)
          for (const value of ["", "1234567", "123456789", "1234567812345678"]) {
            yield* kt.set("n", value)
            yield* ktError(kt.increment("n"), "NotANumber")
            yield* ktError(kt.increment("n", 0), "NotANumber")
            yield* ktError(kt.increment("n", 1, { orig: "try" }), "NotANumber")
            deepStrictEqual(yield* kt.get("n"), Option.some(value))
          }
        }))

      test("orig begins only where there is no record", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.increment("n", 5, { orig: 100 }), 105n)
          assert.strictEqual(yield* kt.increment("n", 5, { orig: 100 }), 110n)
          assert.strictEqual(yield* kt.increment("zero", 0, { orig: -7n }), -7n)
          assert.strictEqual(yield* stored(kt, "zero"), "fffffffffffffff9")
          assert.strictEqual(yield* kt.increment("created", 0), 0n)
          assert.isTrue(yield* kt.exists("created"), "0 creates it")
        }))

      test("orig `try` needs a record", (kt) =>
        Effect.gen(function*() {
          yield* ktError(kt.increment("n", 1, { orig: "try" }), "NoRecord")
          yield* ktError(kt.increment("n", 0, { orig: "try" }), "NoRecord")
          assert.isFalse(yield* kt.exists("n"))
          yield* kt.increment("n", 1)
          assert.strictEqual(yield* kt.increment("n", 2, { orig: "try" }), 3n)
        }))

      test("orig `set` puts the number there, whatever was", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.increment("n", 5, { orig: "set" }), 5n)
          assert.strictEqual(yield* kt.increment("n", 7, { orig: "set" }), 7n)
          assert.strictEqual(yield* kt.increment("n", 0, { orig: "set" }), 0n)
          yield* kt.set("n", "text")
          assert.strictEqual(yield* kt.increment("n", 9n, { orig: "set" }), 9n)
          assert.strictEqual(yield* stored(kt), "0000000000000009")
        }))

      test("0 reads, and writes nothing: neither value nor expiry", (kt) =>
        Effect.gen(function*() {
          yield* kt.increment("n", 5, { expireTime: "10 seconds" })
          const before = yield* kt.expires("n")
          assert.strictEqual(yield* kt.increment("n", 0, { expireTime: "1 second", orig: 3 }), 5n)
          assert.strictEqual(yield* kt.increment("n", 0n, { expireTime: "never" }), 5n)
          deepStrictEqual(yield* kt.expires("n"), before)
          yield* kt.increment("n", 0, { expireTime: "1 hour", orig: "set" })
          assert.notDeepEqual(yield* kt.expires("n"), before, "`set` writes")
        }))

      test("at the edges of 64 bits: what is beyond is Overflow, and nothing is written", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.increment("n", max), max)
          assert.strictEqual(yield* stored(kt), "7fffffffffffffff")
          yield* ktError(kt.increment("n", 1), "Overflow")
          yield* ktError(kt.increment("n", max), "Overflow")
          assert.strictEqual(yield* kt.increment("n", 0), max)
          assert.strictEqual(yield* kt.increment("n", -1), max - 1n)
          assert.strictEqual(yield* kt.increment("n", min, { orig: "set" }), min)
          assert.strictEqual(yield* stored(kt), "8000000000000000")
          yield* ktError(kt.increment("n", -1), "Overflow")
          assert.strictEqual(yield* kt.increment("n", max), -1n)
          for (const beyond of [max + 1n, min - 1n, 10n ** 30n]) {
            yield* ktError(kt.increment("n", beyond), "Overflow")
            yield* ktError(kt.increment("n", beyond, { orig: "set" }), "Overflow")
            yield* ktError(kt.increment("new", 0, { orig: beyond }), "Overflow")
          }
          yield* ktError(kt.increment("new", 1, { orig: max }), "Overflow")
          assert.strictEqual(yield* kt.increment("n", 0), -1n)
          assert.isFalse(yield* kt.exists("new"))
        }))

      test("numbers that are not whole, or not exact, are refused", (kt) =>
        Effect.gen(function*() {
          for (const by of [0.5, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1e300]) {
            yield* ktError(kt.increment("n", by), "InvalidArgument")
            yield* ktError(kt.increment("n", 1, { orig: by }), "InvalidArgument")
          }
          assert.isFalse(yield* kt.exists("n"))
          assert.strictEqual(yield* kt.increment("n", 2 ** 53 - 1), 2n ** 53n - 1n)
        }))

      test("many at once lose nothing", (kt) =>
        Effect.gen(function*() {
          const sums = yield* Effect.all(
            Array.from({ length: 25 }, () => kt.increment("n", 2)),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(sums).size, 25)
          assert.strictEqual(yield* kt.increment("n", 0), 50n)
        }))
    })

    describe("U37: incrementDouble", () => {
      test("adds to 0 or a number; 1 by default", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.incrementDouble("n"), 1)
          assert.strictEqual(yield* kt.incrementDouble("n", 0.5), 1.5)
          assert.strictEqual(yield* kt.incrementDouble("n", -3.75), -2.25)
          deepStrictEqual(yield* kt.length("n"), Option.some(16))
        }))

      test("its bytes are those of the original", (kt) =>
        Effect.gen(function*() {
          for (const [value, bytes] of golden) {
            yield* kt.remove("n")
            const sum = yield* kt.incrementDouble("n", value)
            assert.strictEqual(sum, Math.abs(value) < 1e-15 ? 0 : value)
            assert.strictEqual(yield* stored(kt), bytes, String(value))
            assert.strictEqual(yield* kt.incrementDouble("n", 0), sum)
          }
        }))

      test("decimals are exact: 0.1 and 0.2 are 0.3", (kt) =>
        Effect.gen(function*() {
          yield* kt.incrementDouble("n", 0.1)
          assert.strictEqual(yield* kt.incrementDouble("n", 0.2), 0.3)
          assert.strictEqual(yield* stored(kt), "0000000000000000000110d9316ec000")
          assert.strictEqual(yield* kt.incrementDouble("n", 0.7), 1)
          assert.strictEqual(yield* stored(kt), "00000000000000010000000000000000")
          assert.strictEqual(yield* kt.incrementDouble("n", -1.5), -0.5)
          assert.strictEqual(yield* kt.incrementDouble("n", -0.5), -1)
        }))

      test("infinities stay; NaN and what is no sum is Overflow, and nothing is written", (kt) =>
        Effect.gen(function*() {
          yield* ktError(kt.incrementDouble("n", NaN), "Overflow")
          yield* ktError(kt.incrementDouble("n", 1, { orig: NaN }), "Overflow")
          yield* ktError(kt.incrementDouble("n", 1e19), "Overflow")
          yield* ktError(kt.incrementDouble("n", -(2 ** 63)), "Overflow")
          assert.isFalse(yield* kt.exists("n"))
          assert.strictEqual(yield* kt.incrementDouble("n", Infinity), Infinity)
          assert.strictEqual(yield* kt.incrementDouble("n", -1000), Infinity)
          assert.strictEqual(yield* kt.incrementDouble("n", Infinity), Infinity)
          yield* ktError(kt.incrementDouble("n", -Infinity), "Overflow")
          assert.strictEqual(yield* kt.incrementDouble("n", 0), Infinity)
          assert.strictEqual(yield* kt.incrementDouble("n", -Infinity, { orig: "set" }), -Infinity)
          yield* kt.incrementDouble("m", 9e18)
          yield* ktError(kt.incrementDouble("m", 9e18), "Overflow")
          assert.strictEqual(yield* kt.incrementDouble("m", 0), 9e18)
        }))

      test("orig, `try`, `set`, 0, and records that are no such number", (kt) =>
        Effect.gen(function*() {
          yield* ktError(kt.incrementDouble("n", 1, { orig: "try" }), "NoRecord")
          assert.strictEqual(yield* kt.incrementDouble("n", 0.5, { orig: 1.25 }), 1.75)
          assert.strictEqual(yield* kt.incrementDouble("n", 0.25, { orig: "try" }), 2)
          assert.strictEqual(yield* kt.incrementDouble("n", 0.25, { orig: "set" }), 0.25)
          assert.strictEqual(yield* kt.incrementDouble("n", 0, { orig: "set" }), 0)
          yield* kt.incrementDouble("n", 2.5, { expireTime: "10 seconds" })
          const before = yield* kt.expires("n")
          assert.strictEqual(yield* kt.incrementDouble("n", 0, { expireTime: "never" }), 2.5)
          deepStrictEqual(yield* kt.expires("n"), before)
          yield* kt.increment("int")
          yield* ktError(kt.incrementDouble("int"), "NotANumber")
          yield* ktError(kt.increment("n"), "NotANumber")
          yield* kt.setBytes("any", unhex("0000000000000002 0000000000000000"))
          assert.strictEqual(yield* kt.incrementDouble("any", 1), 3)
        }))
    })

    test("U85: error tells of the last that failed, and of nothing that is an answer", (kt) =>
      Effect.gen(function*() {
        const success = { code: 0, message: "success" }
        deepStrictEqual(yield* kt.error, success)
        yield* kt.set("k", "v")
        assert.isFalse(yield* kt.add("k", "v"))
        assert.isFalse(yield* kt.replace("missing", "v"))
        assert.isFalse(yield* kt.remove("missing"))
        deepStrictEqual(yield* kt.error, success)
        yield* ktError(kt.increment("k"), "NotANumber")
        deepStrictEqual(yield* kt.error, { code: 8, message: "logic" })
        yield* kt.get("k")
        deepStrictEqual(yield* kt.error, { code: 8, message: "logic" })
        yield* ktError(kt.increment("missing", 1, { orig: "try" }), "NoRecord")
        deepStrictEqual(yield* kt.error, { code: 7, message: "norec" })
        const told = yield* kt.rawScript("get_error")
        deepStrictEqual([...told].map(([name, value]) => [name, Buffer.from(value).toString()]), [
          ["code", "7"],
          ["message", "norec"]
        ])
      }))
  })
