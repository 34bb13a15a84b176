/** When the records of KtCompat expire. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Duration, Effect, Option, TestClock } from "effect"
import { KtCompat } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { collect, ktError, second, start, testOn } from "../ktCompat.js"

const none = Option.none()
const some = Option.some
const { Missing, Persistent } = KtCompat.Expiration
const at = (millis: number): KtCompat.Expiration => KtCompat.Expiration.Expires({ at: DateTime.unsafeMake(millis) })
const told = (all: ReadonlyArray<readonly [string, KtCompat.Expiration]>) => new Map(all)

const int64Max = 2 ** 63

/** Every form in which an expire time is given, and when that is; `Infinity` for never. */
const forms: ReadonlyArray<readonly [what: string, expireTime: KtCompat.ExpireTime | undefined, millis: number]> = [
  ["nothing", undefined, Infinity],
  ["never", "never", Infinity],
  ["keep, of nothing", "keep", Infinity],
  ["text", "1500 millis", start + 1500],
  ["a Duration", Duration.minutes(2), start + 120_000],
  ["an endless Duration", Duration.infinity, Infinity],
  ["a pair of seconds and nanoseconds", [3, 500_000_000], start + 3500],
  ["a DateTime", DateTime.unsafeMake(start + 7), start + 7],
  ["a DateTime of a zone", DateTime.unsafeMakeZoned(start + 8, { timeZone: "Asia/Tokyo" }), start + 8],
  ["a Date", new Date(start + 9), start + 9],
  ["expire(1)", KtCompat.expire(1), (second + 2) * 1000],
  ["expire(0): this second", KtCompat.expire(0), (second + 1) * 1000],
  ["expire(0.9): the fraction is cut", KtCompat.expire(0.9), (second + 1) * 1000],
  ["expire(-0.9): the fraction is cut", KtCompat.expire(-0.9), (second + 1) * 1000],
  ["expire(2.999)", KtCompat.expire(2.999), (second + 3) * 1000],
  ["expire(15551999): the longest from now on", KtCompat.expire(15_551_999), (second + 15_552_000) * 1000],
  ["expire(-n): since the epoch", KtCompat.expire(-1_700_000_000), 1_700_000_001_000],
  ["expire(n) of 180 days or more: since the epoch", KtCompat.expire(1_700_000_000.9), 1_700_000_001_000],
  ["expire(2^40 - 2): the last second that there is", KtCompat.expire(2 ** 40 - 2), (2 ** 40 - 1) * 1000],
  ["expire(2^40 - 1)", KtCompat.expire(2 ** 40 - 1), Infinity],
  ["expire(2^40)", KtCompat.expire(2 ** 40), Infinity],
  ["expire(-(2^40))", KtCompat.expire(-(2 ** 40)), Infinity],
  ["expire of the greatest int64", KtCompat.expire(int64Max), Infinity],
  ["expire of the least int64", KtCompat.expire(-int64Max), Infinity],
  ["expire(Infinity)", KtCompat.expire(Infinity), Infinity]
]

/** Those with which a record is dead as soon as it is written. */
const past: ReadonlyArray<readonly [what: string, expireTime: KtCompat.ExpireTime]> = [
  ["expire(-5)", KtCompat.expire(-5)],
  ["expire(180 days): 1970", KtCompat.expire(15_552_000)],
  ["expire(the last second)", KtCompat.expire(-(second - 1))],
  ["an empty Duration", Duration.zero],
  ["a Date before", new Date(start - 1)],
  ["a DateTime of now", DateTime.unsafeMake(start)]
]

/** What nobody could tell the meaning of. Types forbid all but the last. */
const senseless: ReadonlyArray<unknown> = [
  60,
  0,
  -1,
  1.5,
  NaN,
  60n,
  null,
  "soon",
  "60",
  "",
  {},
  [],
  [1],
  true,
  new Date(NaN),
  KtCompat.expire(NaN)
]

/** What writes the key `k`; those that change a value keep its expiry. */
const writes: Record<
  string,
  readonly [
    keeps: boolean,
    write: (
      kt: KtCompat.KtCompat<string, string>,
      options?: KtCompat.WriteOptions
    ) => Effect.Effect<unknown, KtCompat.Failure>
  ]
> = {
  append: [true, (kt, options) => kt.append("k", "+", options)],
  cas: [true, (kt, options) => Effect.flatMap(kt.get("k"), (now) => kt.cas("k", now, some("cas"), options))],
  increment: [true, (kt, options) => kt.increment("k", 1, options)],
  incrementDouble: [true, (kt, options) => kt.incrementDouble("k", 1, options)],
  replace: [false, (kt, options) => kt.replace("k", "replaced", options)],
  set: [false, (kt, options) => kt.set("k", "set", options)],
  setBulk: [false, (kt, options) => kt.setBulk({ k: "v", other: "v" }, options)],
  setBulkDetails: [false, (kt, options) => kt.setBulkDetails([{ key: "k", value: "v", ...options }])],
  setBytes: [false, (kt, options) => kt.setBytes("k", new Uint8Array(1), options)],
  update: [false, (kt, options) => kt.update([["k", "v"]], options)]
}

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat expiry", () => {
    const test = testOn(engine)
    const expiryIs = (kt: KtCompat.KtCompat<string, string>, millis: number, about: string) =>
      Effect.gen(function*() {
        deepStrictEqual(yield* kt.expires("k"), millis === Infinity ? Persistent() : at(millis), about)
        deepStrictEqual(
          yield* kt.expireTime("k"),
          some(millis === Infinity ? Infinity : Math.ceil(millis / 1000) - 1),
          about
        )
        const [details] = yield* kt.getBulkDetails([[0, "k"]])
        deepStrictEqual(
          Option.map(details?.expires ?? none, (at) => at.epochMillis),
          millis === Infinity ? none : some(millis),
          about
        )
      })

    describe("U29, U24: an expire time", () => {
      test("in each of its forms", (kt) =>
        Effect.gen(function*() {
          for (const [what, expireTime, millis] of forms) {
            for (const method of ["set", "setBulk", "setBulkDetails", "setBytes", "update"]) {
              yield* kt.clear()
              yield* writes[method]![1](kt, { expireTime })
              yield* expiryIs(kt, millis, `${method}: ${what}`)
            }
          }
        }))

      test("in the past: the write succeeds, and there is no record", (kt) =>
        Effect.gen(function*() {
          for (const [what, expireTime] of past) {
            yield* kt.set("k", "v")
            yield* kt.set("k", "w", { expireTime })
            deepStrictEqual(yield* kt.get("k"), none, what)
            assert.isFalse(yield* kt.remove("k"), what)
            assert.isTrue(yield* kt.add("k", "v", { expireTime }), what)
            deepStrictEqual(yield* kt.expires("k"), Missing(), what)
            assert.strictEqual(yield* kt.setBulk({ k: "v" }, { expireTime }), 1, what)
            assert.strictEqual(yield* kt.count(), 0, what)
          }
        }))

      test("that is a plain number, or nothing that is known, is refused and writes nothing", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "before")
          for (const given of senseless) {
            // As a program without types would give it.
            const expireTime = given as KtCompat.ExpireTime
            for (const [, write] of Object.values(writes)) {
              yield* ktError(write(kt, { expireTime }), "InvalidArgument")
            }
            yield* ktError(kt.add("new", "v", { expireTime }), "InvalidArgument")
            yield* ktError(kt.touch("k", expireTime), "InvalidArgument")
            yield* ktError(kt.touchBulk(["k"], expireTime), "InvalidArgument")
          }
          deepStrictEqual(yield* kt.keysNonlazy(), ["k"])
          deepStrictEqual(yield* kt.get("k"), some("before"))
          deepStrictEqual(yield* kt.expires("k"), Persistent())
        }))

      test("that is a number says what to give", (kt) =>
        Effect.gen(function*() {
          const error = yield* ktError(
            // As a program without types would give it.
            kt.set("k", "v", { expireTime: 60 as unknown as KtCompat.ExpireTime }),
            "InvalidArgument"
          )
          assert.include(error.message, "KtCompat.expire(60)")
          assert.include(error.message, "60 seconds")
        }))
    })

    describe("U34, U35, U36, U38: what a write does to the expiry of a record that is there", () => {
      for (const [method, [keeps, write]] of Object.entries(writes)) {
        const before = method === "increment" ? 8 : method === "incrementDouble" ? 16 : 1
        const put = (kt: KtCompat.KtCompat<string, string>, expireTime?: KtCompat.ExpireTime) =>
          kt.setBytes("k", new Uint8Array(before), { expireTime })

        test(`${method} ${keeps ? "keeps it" : "has it never expire"}, unless told`, (kt) =>
          Effect.gen(function*() {
            yield* put(kt, "10 seconds")
            yield* write(kt)
            yield* expiryIs(kt, keeps ? start + 10_000 : Infinity, "unsaid")
            yield* put(kt, "10 seconds")
            yield* write(kt, { expireTime: "keep" })
            yield* expiryIs(kt, start + 10_000, "keep")
            yield* put(kt, "10 seconds")
            yield* write(kt, { expireTime: "never" })
            yield* expiryIs(kt, Infinity, "never")
            yield* write(kt, { expireTime: "5 seconds" })
            yield* expiryIs(kt, start + 5000, "5 seconds")
            yield* write(kt, { expireTime: KtCompat.expire(3) })
            yield* expiryIs(kt, (second + 4) * 1000, "expire(3)")
            yield* put(kt)
            yield* write(kt, { expireTime: "keep" })
            yield* expiryIs(kt, Infinity, "keep, of what does not expire")
          }))
      }

      test("one that is expired is nothing to keep", (kt) =>
        Effect.gen(function*() {
          for (const [method, [, write]] of Object.entries(writes)) {
            if (method === "replace") continue
            yield* kt.set("k", "v", { expireTime: "1 second" })
            yield* TestClock.adjust("1 second")
            yield* write(kt, { expireTime: "keep" })
            yield* expiryIs(kt, Infinity, method)
          }
        }))

      test("setBulkDetails keeps each as it was, the last of one key", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "1", { expireTime: "1 second" })
          yield* kt.set("b", "1", { expireTime: "2 seconds" })
          yield* kt.setBulkDetails([
            { expireTime: "keep", key: "a", value: "2" },
            { expireTime: "keep", key: "b", value: "2" },
            { expireTime: "keep", key: "c", value: "2" },
            { expireTime: "3 seconds", key: "d", value: "2" },
            { key: "b", value: "3" }
          ])
          deepStrictEqual(yield* Effect.forEach(["a", "b", "c", "d"], (key) => kt.expires(key)), [
            at(start + 1000),
            Persistent(),
            Persistent(),
            at(start + 3000)
          ])
          deepStrictEqual(yield* kt.get("b"), some("3"))
        }))
    })

    describe("U30: a record", () => {
      test("of expire(n) lives until that second is over", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v", { expireTime: KtCompat.expire(1) })
          yield* kt.set("zero", "v", { expireTime: KtCompat.expire(0) })
          yield* TestClock.setTime(start + 749)
          assert.isTrue(yield* kt.exists("zero"))
          yield* TestClock.setTime(start + 750)
          assert.isFalse(yield* kt.exists("zero"))
          yield* TestClock.setTime((second + 2) * 1000 - 1)
          deepStrictEqual(yield* kt.get("k"), some("v"))
          yield* TestClock.setTime((second + 2) * 1000)
          deepStrictEqual(yield* kt.get("k"), none)
        }))

      test("that is expired is absent to everything", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", k: "dead", z: "3" })
          yield* kt.touch("k", "1 second")
          yield* TestClock.adjust("1 second")
          deepStrictEqual(yield* kt.get("k"), none)
          deepStrictEqual(yield* kt.getBytes("k"), none)
          deepStrictEqual(yield* kt.getBulk(["a", "k"]), new Map([["a", "1"]]))
          assert.strictEqual((yield* kt.getBulkDetails([[0, "k"], [0, "a"]])).length, 1)
          assert.isFalse(yield* kt.exists("k"))
          deepStrictEqual(yield* kt.length("k"), none)
          deepStrictEqual(yield* kt.expires("k"), Missing())
          deepStrictEqual(yield* kt.expireTime("k"), none)
          deepStrictEqual(yield* kt.touch("k"), Missing())
          deepStrictEqual(yield* kt.touchRelative("k", 100), Missing())
          deepStrictEqual(yield* kt.touchBulk(["k"]), new Map())
          deepStrictEqual(yield* kt.pop("k"), none)
          assert.isFalse(yield* kt.remove("k"))
          assert.strictEqual(yield* kt.removeBulk(["k"]), 0)
          assert.isFalse(yield* kt.replace("k", "v"))
          assert.isFalse(yield* kt.cas("k", some("dead"), some("v")))
          deepStrictEqual(yield* kt.matchPrefix(""), ["a", "z"])
          deepStrictEqual(yield* kt.matchRegex("."), ["a", "z"])
          deepStrictEqual(yield* kt.matchSimilar("k"), ["a", "z"])
          deepStrictEqual(yield* collect(kt.keys()), ["a", "z"])
          deepStrictEqual(yield* collect(kt.values()), ["1", "3"])
          assert.strictEqual(yield* kt.count(), 2)
          assert.strictEqual(yield* kt.size(), 4)
          yield* kt.vacuum()
          assert.strictEqual(yield* kt.count(), 2)
        }))

      test("that is expired is a place for a new one", (kt) =>
        Effect.gen(function*() {
          const dead = Effect.zipRight(
            kt.setBytes("k", new Uint8Array(8).fill(1), { expireTime: "1 second" }),
            TestClock.adjust("1 second")
          )
          yield* dead
          assert.isTrue(yield* kt.add("k", "added"))
          deepStrictEqual(yield* kt.get("k"), some("added"))
          yield* kt.remove("k")
          yield* dead
          yield* kt.append("k", "appended")
          deepStrictEqual(yield* kt.get("k"), some("appended"))
          yield* kt.remove("k")
          yield* dead
          assert.strictEqual(yield* kt.increment("k", 5), 5n)
          yield* kt.remove("k")
          yield* dead
          yield* ktError(kt.increment("k", 5, { orig: "try" }), "NoRecord")
          assert.isTrue(yield* kt.cas("k", none, some("new")))
          deepStrictEqual(yield* kt.expires("k"), Persistent())
        }))
    })

    describe("touching", () => {
      test("U44: touch sets or clears, and answers with what was", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.touch("k", "1 second"), Missing())
          yield* kt.set("k", "v")
          deepStrictEqual(yield* kt.touch("k", "10 seconds"), Persistent())
          deepStrictEqual(yield* kt.touch("k", KtCompat.expire(-1_700_000_000)), at(start + 10_000))
          deepStrictEqual(yield* kt.touch("k", "keep"), at(1_700_000_001_000))
          deepStrictEqual(yield* kt.touch("k"), at(1_700_000_001_000))
          deepStrictEqual(yield* kt.touch("k", "never"), Persistent())
          deepStrictEqual(yield* kt.touch("k", KtCompat.expire(-5)), Persistent())
          deepStrictEqual(yield* kt.touch("k", "never"), Missing(), "it is gone")
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U44, U45, U46: values stay, also large ones", (kt) =>
        Effect.gen(function*() {
          const value = "x".repeat(100_000)
          yield* kt.set("k", value)
          yield* kt.touch("k", "1 hour")
          yield* kt.touchRelative("k", 5)
          deepStrictEqual(yield* kt.get("k"), some(value))
        }))

      test("U45: touchBulk answers for those that there are, whatever their names", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ db: "1", key: "2", xt: "3" })
          yield* kt.set("a", "4", { expireTime: "1 second" })
          deepStrictEqual(
            yield* kt.touchBulk(["xt", "db", "missing", "a"], "20 seconds"),
            told([["xt", Persistent()], ["db", Persistent()], ["a", at(start + 1000)]])
          )
          deepStrictEqual(yield* kt.expires("db"), at(start + 20_000))
          deepStrictEqual(yield* kt.expires("key"), Persistent())
          deepStrictEqual(yield* kt.touchBulk(["a", "db"], undefined, { db: 1 }), new Map())
        }))

      test("U46: touchRelative moves it, and answers with what is then", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.touchRelative("k", 1), Missing())
          yield* kt.set("k", "v")
          deepStrictEqual(yield* kt.touchRelative("k", 100), Persistent(), "what never expires never will")
          deepStrictEqual(yield* kt.touchRelative("k", -100), Persistent())
          yield* kt.touch("k", KtCompat.expire(10))
          deepStrictEqual(yield* kt.touchRelative("k", 5), at((second + 16) * 1000))
          deepStrictEqual(yield* kt.touchRelative("k", -7), at((second + 9) * 1000))
          deepStrictEqual(yield* kt.touchRelative("k", 0), at((second + 9) * 1000))
          deepStrictEqual(yield* kt.touchRelative("k", 0.5), at((second + 9) * 1000 + 500))
          deepStrictEqual(yield* kt.expires("k"), at((second + 9) * 1000 + 500))
          yield* kt.touchRelative("k", -100)
          deepStrictEqual(yield* kt.expires("k"), Missing())
        }))

      test("U46: touchBulkRelative, and numbers that are none", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", b: "2" }, { expireTime: "10 seconds" })
          yield* kt.set("c", "3")
          deepStrictEqual(
            yield* kt.touchBulkRelative(["c", "a", "missing", "b"], 1),
            told([["c", Persistent()], ["a", at(start + 11_000)], ["b", at(start + 11_000)]])
          )
          for (const seconds of [NaN, Infinity, -Infinity]) {
            yield* ktError(kt.touchRelative("a", seconds), "InvalidArgument")
            yield* ktError(kt.touchBulkRelative(["a"], seconds), "InvalidArgument")
          }
          deepStrictEqual(yield* kt.expires("a"), at(start + 11_000))
        }))

      test("U46: a time beyond all others is kept, and told as the last that there is", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v", { expireTime: "1 second" })
          deepStrictEqual(yield* kt.touchRelative("k", 1e300), at(8.64e15))
          deepStrictEqual(yield* kt.get("k"), some("v"))
          deepStrictEqual(yield* kt.touch("k", "1 second"), at(8.64e15))
        }))
    })

    describe("U47, U48: the expiry of a record", () => {
      test("expireTime is the last second in which it lives, expires is when it ends", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.expireTime("k"), none)
          deepStrictEqual(yield* kt.expires("k"), Missing())
          yield* kt.set("k", "v")
          deepStrictEqual(yield* kt.expireTime("k"), some(Infinity))
          deepStrictEqual(yield* kt.expires("k"), Persistent())
          for (const [millis, xt] of [[750, second], [751, second + 1], [1750, second + 1]] as const) {
            yield* kt.set("k", "v", { expireTime: new Date(start + millis) })
            deepStrictEqual(yield* kt.expireTime("k"), some(xt))
            deepStrictEqual(yield* kt.expires("k"), at(start + millis))
          }
        }))

      test("what expireTime tells is what expire takes", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v", { expireTime: KtCompat.expire(100) })
          const xt = Option.getOrThrow(yield* kt.expireTime("k"))
          yield* kt.set("k", "v", { expireTime: KtCompat.expire(xt) })
          deepStrictEqual(yield* kt.expireTime("k"), some(xt))
          yield* kt.set("k", "v")
          yield* kt.set("l", "v", { expireTime: KtCompat.expire(Option.getOrThrow(yield* kt.expireTime("k"))) })
          deepStrictEqual(yield* kt.expires("l"), Persistent())
        }))
    })
  })
