/** What KtCompat promises of records: reading, writing, bulks, expiry. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Option } from "effect"
import { KtCompat, Storage } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"
import { bytes, collect, failsWith, hex, invalidKey, ktError, latin1, testOn, unhex } from "../ktCompat.js"

const none = Option.none()
const some = Option.some

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat records", () => {
    const test = testOn(engine)

    describe("one record", () => {
      test("U20, U21, U24: set replaces, get reads, getBytes reads what is stored", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.get("k"), none)
          deepStrictEqual(yield* kt.getBytes("k"), none)
          assert.isUndefined(yield* kt.set("k", "été"))
          deepStrictEqual(yield* kt.get("k"), some("été"))
          deepStrictEqual(yield* kt.getBytes("k"), some(bytes("été")))
          yield* kt.set("k", "")
          deepStrictEqual(yield* kt.get("k"), some(""))
          deepStrictEqual(yield* kt.getBytes("k"), some(new Uint8Array(0)))
        }))

      test("U25: setBytes writes bytes as they are; what is not UTF-8 is CodecError to read, and getBytes reads it", (kt) =>
        Effect.gen(function*() {
          const value = Uint8Array.from({ length: 256 }, (_, i) => i)
          yield* kt.setBytes("k", value)
          deepStrictEqual(yield* kt.getBytes("k"), some(value))
          yield* failsWith(kt.get("k"), "CodecError")
          yield* failsWith(kt.getBulk(["other", "k"]), "CodecError")
          yield* failsWith(kt.getBulkDetails([[0, "k"]]), "CodecError")
          yield* failsWith(collect(kt.values()), "CodecError")
          yield* failsWith(collect(kt.items()), "CodecError")
          deepStrictEqual(yield* collect(kt.keys()), ["k"])
          yield* failsWith(kt.pop("k"), "CodecError")
          deepStrictEqual(yield* kt.getBytes("k"), some(value), "it was put back")
        }))

      test("U25: what is written and read are copies", (kt) =>
        Effect.gen(function*() {
          const value = bytes("abc")
          yield* kt.setBytes("k", value)
          value.fill(0)
          const read = Option.getOrThrow(yield* kt.getBytes("k"))
          assert.strictEqual(latin1(read), "abc")
          read.fill(0)
          deepStrictEqual(yield* kt.get("k"), some("abc"))
        }))

      test("U31: remove tells whether there was one", (kt) =>
        Effect.gen(function*() {
          assert.isFalse(yield* kt.remove("k"))
          yield* kt.set("k", "v")
          assert.isTrue(yield* kt.remove("k"))
          assert.isFalse(yield* kt.remove("k"))
          deepStrictEqual(yield* kt.get("k"), none)
        }))

      test("U33, U34: add only what is absent, replace only what is there", (kt) =>
        Effect.gen(function*() {
          assert.isFalse(yield* kt.replace("k", "0"))
          deepStrictEqual(yield* kt.get("k"), none)
          assert.isTrue(yield* kt.add("k", "1"))
          assert.isFalse(yield* kt.add("k", "2"))
          deepStrictEqual(yield* kt.get("k"), some("1"))
          assert.isTrue(yield* kt.replace("k", "3"))
          deepStrictEqual(yield* kt.get("k"), some("3"))
        }))

      test("U35: append to what is there, and to nothing; bytes too, but no other values", (kt) =>
        Effect.gen(function*() {
          yield* kt.append("k", "ab")
          yield* kt.append("k", "")
          yield* kt.append("k", "cd")
          deepStrictEqual(yield* kt.get("k"), some("abcd"))
          const raw = kt.withValues(KtCompat.none)
          yield* raw.append("k", unhex("00ff"))
          assert.strictEqual(hex(Option.getOrThrow(yield* raw.get("k"))), "6162636400ff")
          for (const values of [KtCompat.json, KtCompat.msgpack]) {
            yield* ktError(kt.withValues(values).append("k", "x"), "InvalidArgument")
          }
          assert.strictEqual(hex(Option.getOrThrow(yield* raw.get("k"))), "6162636400ff")
        }))

      test("U39, U40: exists and length, in bytes", (kt) =>
        Effect.gen(function*() {
          assert.isFalse(yield* kt.exists("k"))
          deepStrictEqual(yield* kt.length("k"), none)
          yield* kt.set("k", "é𝄞")
          assert.isTrue(yield* kt.exists("k"))
          deepStrictEqual(yield* kt.length("k"), some(6))
          yield* kt.set("k", "")
          assert.isTrue(yield* kt.exists("k"))
          deepStrictEqual(yield* kt.length("k"), some(0))
        }))

      test("U41: seize and pop take a record out, to exactly one of many", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.seize("k"), none)
          deepStrictEqual(yield* kt.pop("k"), none)
          yield* kt.setBulk({ k: "v", k0: "w", l: "x" })
          deepStrictEqual(yield* kt.seize("k"), some("v"))
          deepStrictEqual(yield* kt.seize("k"), none)
          deepStrictEqual(yield* kt.pop("k0"), some("w"))
          const all = yield* Effect.all(Array.from({ length: 20 }, () => kt.pop("l")), { concurrency: "unbounded" })
          deepStrictEqual(all.filter(Option.isSome), [some("x")])
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U38: cas in all combinations", (kt) =>
        Effect.gen(function*() {
          const to = (value?: string) => Option.fromNullable(value)
          const cases: ReadonlyArray<
            readonly [now: string | undefined, expected: string | undefined, next: string | undefined]
          > = [undefined, "", "a", "b"].flatMap((now) =>
            [undefined, "", "a", "b"].flatMap((expected) =>
              [undefined, "", "a", "c"].map((next) => [now, expected, next] as const)
            )
          )
          for (const [now, expected, next] of cases) {
            yield* now === undefined ? kt.remove("k") : kt.set("k", now)
            const matches = now === expected
            const about = JSON.stringify({ expected, next, now })
            assert.strictEqual(yield* kt.cas("k", to(expected), to(next)), matches, about)
            deepStrictEqual(yield* kt.get("k"), to(matches ? next : now), about)
          }
          assert.strictEqual(cases.length, 64)
        }))

      test("U38: cas is about stored bytes; of many exactly one wins", (kt) =>
        Effect.gen(function*() {
          const json = kt.withValues(KtCompat.json)
          yield* json.set("k", { a: 1, b: [2] })
          assert.isTrue(yield* json.cas("k", some({ b: [2], a: 1 }), some(0)), "members in any order")
          yield* json.set("n", 0)
          const won = yield* Effect.all(
            Array.from({ length: 10 }, (_, i) => json.cas("n", some(0), some(i + 1))),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(won.filter((isWon) => isWon).length, 1)
          deepStrictEqual(yield* json.get("n"), some(won.indexOf(true) + 1))
        }))
    })

    describe("bulks", () => {
      test("U22, U26, U31, U42: setBulk of objects, maps and pairs; getBulk; removeBulk; update", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.setBulk({ a: "1", b: "2" }), 2)
          assert.strictEqual(yield* kt.setBulk(new Map([["c", "3"]])), 1)
          assert.strictEqual(yield* kt.update([["d", "4"], ["d", "5"], ["a", "6"]]), 3)
          deepStrictEqual(
            yield* kt.getBulk(["d", "missing", "a", "d"]),
            new Map([["d", "5"], ["a", "6"]])
          )
          deepStrictEqual([...(yield* kt.getBulk(["c", "a", "b"])).keys()], ["c", "a", "b"])
          assert.strictEqual(yield* kt.removeBulk(["a", "a", "missing", "b"]), 2)
          deepStrictEqual(yield* kt.keysNonlazy(), ["c", "d"])
        }))

      test("U22, U23, U26, U27, U31, U32, U45: empty bulks", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v")
          assert.strictEqual(yield* kt.setBulk({}), 0)
          assert.strictEqual(yield* kt.setBulkDetails([]), 0)
          assert.strictEqual(yield* kt.removeBulk([]), 0)
          assert.strictEqual(yield* kt.removeBulkDetails([]), 0)
          deepStrictEqual(yield* kt.getBulk([]), new Map())
          deepStrictEqual(yield* kt.getBulkDetails([]), [])
          deepStrictEqual(yield* kt.touchBulk([]), new Map())
          deepStrictEqual(yield* kt.touchBulkRelative([], 1), new Map())
          deepStrictEqual(yield* kt.keysNonlazy(), ["k"])
        }))

      test("U42: setBulk leaves what it is given as it is", (kt) =>
        Effect.gen(function*() {
          const given = Object.freeze({ a: "1" })
          yield* kt.setBulk(given, { expireTime: "1 hour" })
          yield* kt.update(given)
          deepStrictEqual(given, { a: "1" })
        }))

      test("U26: setBulk takes names that objects have from their prototype", (kt) =>
        Effect.gen(function*() {
          const names = ["__proto__", "constructor", "toString", "size"]
          yield* kt.setBulk(names.map((name) => [name, name] as const))
          deepStrictEqual(yield* kt.getBulk(names), new Map(names.map((name) => [name, name])))
          yield* kt.setBulk({ "db": "1", "key": "2" })
          deepStrictEqual(yield* kt.get("db"), some("1"))
        }))

      test("U23, U27, U32: details across databases, in the order asked for, and all or nothing", (kt) =>
        Effect.gen(function*() {
          const total = yield* kt.setBulkDetails([
            { db: "b", key: "x", value: "bx" },
            { expireTime: KtCompat.expire(-2_000_000_000), key: "x", value: "ax" },
            { db: 1, key: "y", value: "by" },
            { db: 0, expireTime: new Date(1_700_000_000_123), key: "y", value: "ay" }
          ])
          assert.strictEqual(total, 4)
          const found = yield* kt.getBulkDetails([
            [1, "y"],
            ["a", "x"],
            [0, "missing"],
            ["b", "x"],
            [0, "y"],
            [0, "x"]
          ])
          deepStrictEqual(
            found.map(({ db, expires, key, value }) => [
              db,
              key,
              value,
              Option.getOrNull(Option.map(expires, (at) => at.epochMillis))
            ]),
            [
              [1, "y", "by", null],
              ["a", "x", "ax", 2_000_000_001_000],
              ["b", "x", "bx", null],
              [0, "y", "ay", 1_700_000_000_123],
              [0, "x", "ax", 2_000_000_001_000]
            ]
          )
          assert.strictEqual(yield* kt.removeBulkDetails([[0, "x"], [1, "x"], ["a", "x"], [1, "missing"]]), 2)
          yield* ktError(kt.setBulkDetails([{ key: "z", value: "1" }, { db: 7, key: "z", value: "2" }]), "NoDatabase")
          yield* ktError(kt.getBulkDetails([[0, "y"], ["c", "y"]]), "NoDatabase")
          yield* ktError(kt.removeBulkDetails([[0, "y"], [2, "y"]]), "NoDatabase")
          deepStrictEqual(yield* kt.keysNonlazy(), ["y"])
          deepStrictEqual(yield* kt.keysNonlazy({ db: 1 }), ["y"])
        }))

      test("U26, U27: a bulk with something that cannot be written writes nothing", (kt) =>
        Effect.gen(function*() {
          yield* invalidKey(kt.setBulk([["a", "1"], ["\ud800", "2"]]))
          yield* invalidKey(kt.setBulk([["a", "1"], ["k".repeat(2049), "2"]]))
          yield* invalidKey(kt.setBulkDetails([{ key: "a", value: "1" }, { db: 1, key: "k".repeat(2049), value: "2" }]))
          yield* failsWith(kt.withValues(KtCompat.json).setBulk([["a", 1], ["b", 1n]]), "CodecError")
          yield* failsWith(kt.setBulk([["a", "1"], ["b", "\udc00"]]), "CodecError")
          assert.strictEqual(yield* kt.count(), 0)
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          yield* kt.set("a", "1")
          yield* invalidKey(kt.removeBulk(["a", "k".repeat(2049)]))
          yield* invalidKey(kt.touchBulk(["a", "k".repeat(2049)], "1 second"))
          deepStrictEqual(yield* kt.expires("a"), KtCompat.Expiration.Persistent())
        }))

      const many = engine === postgres ? 30_000 : 100_000

      test(`U22, U26, U31: ${many} records at once`, (kt) =>
        Effect.gen(function*() {
          const keys = Array.from({ length: many }, (_, i) => `k${String(i).padStart(6, "0")}`)
          assert.strictEqual(yield* kt.setBulk(keys.map((key) => [key, key] as const)), keys.length)
          assert.strictEqual(yield* kt.count(), keys.length)
          const found = yield* kt.getBulk([...keys, "missing"])
          assert.strictEqual(found.size, keys.length)
          assert.strictEqual(found.get("k029999"), "k029999")
          assert.strictEqual((yield* kt.keysNonlazy()).length, keys.length)
          assert.strictEqual(yield* kt.removeBulk([...keys, "missing"]), keys.length)
          assert.strictEqual(yield* kt.count(), 0)
        }))
    })

    describe("databases", () => {
      test("U9: each call says its database by number or name", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "0")
          yield* kt.set("k", "1", { db: 1 })
          deepStrictEqual(yield* kt.get("k", { db: "a" }), some("0"))
          deepStrictEqual(yield* kt.get("k", { db: "b" }), some("1"))
          yield* kt.append("k", "+", { db: 1 })
          assert.isFalse(yield* kt.add("k", "2", { db: "b" }))
          assert.isTrue(yield* kt.replace("k", "3", { db: 1 }))
          assert.isTrue(yield* kt.cas("k", some("3"), some("4"), { db: 1 }))
          deepStrictEqual(yield* kt.getBulk(["k"], { db: 1 }), new Map([["k", "4"]]))
          deepStrictEqual(yield* kt.pop("k", { db: 1 }), some("4"))
          assert.strictEqual(yield* kt.increment("n", 2, { db: 1 }), 2n)
          assert.strictEqual(yield* kt.incrementDouble("d", 0.5, { db: 1 }), 0.5)
          deepStrictEqual(yield* kt.matchPrefix("", { db: 1 }), ["d", "n"])
          deepStrictEqual(yield* kt.matchRegex("n", { db: 1 }), ["n"])
          deepStrictEqual(yield* kt.matchSimilar("m", { db: 1 }), ["d", "n"])
          deepStrictEqual(yield* collect(kt.keys({ db: "b" })), ["d", "n"])
          deepStrictEqual(yield* kt.length("n", { db: 1 }), some(8))
          assert.strictEqual(yield* kt.count({ db: 1 }), 2)
          yield* kt.clear({ db: 1 })
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          deepStrictEqual(yield* kt.get("k"), some("0"))
        }))

      test("U8: setDatabase and make with `db` are views, and leave the client as it is", (kt) =>
        Effect.gen(function*() {
          const b = kt.setDatabase("b")
          yield* b.set("k", "b")
          yield* kt.set("k", "a")
          deepStrictEqual(yield* b.get("k"), some("b"))
          deepStrictEqual(yield* b.get("k", { db: 0 }), some("a"))
          deepStrictEqual(yield* b.setDatabase(0).get("k"), some("a"))
          deepStrictEqual(yield* b.withValues(KtCompat.none).get("k"), some(bytes("b")))
          deepStrictEqual(yield* (yield* KtCompat.make({ db: 1 })).get("k"), some("b"))
          yield* b.Hash("h").set("f", "1")
          assert.isTrue(yield* b.exists("h"))
          assert.isFalse(yield* kt.exists("h"))
          yield* b.setBulkDetails([{ key: "d", value: "1" }])
          assert.isTrue(yield* b.exists("d"))
        }))

      test("U9: a database that is not there", (kt) =>
        Effect.gen(function*() {
          for (const db of [2, -1, 0.5, NaN, "c", "", "0", "__proto__"]) {
            const calls: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
              kt.get("k", { db }),
              kt.set("k", "v", { db }),
              kt.add("k", "v", { db }),
              kt.remove("k", { db }),
              kt.getBulk(["k"], { db }),
              kt.setBulk({ k: "v" }, { db }),
              kt.removeBulk(["k"], { db }),
              kt.increment("k", 1, { db }),
              kt.cas("k", none, some("v"), { db }),
              kt.touch("k", "1 second", { db }),
              kt.exists("k", { db }),
              kt.expires("k", { db }),
              kt.pop("k", { db }),
              kt.matchPrefix("", { db }),
              kt.matchRegex("", { db }),
              kt.matchSimilar("", { db }),
              collect(kt.keys({ db })),
              collect(kt.items({ db })),
              Effect.scoped(kt.cursor({ db })),
              kt.count({ db }),
              kt.status({ db }),
              kt.clear({ db }),
              kt.vacuum({ db }),
              kt.synchronize({ db }),
              kt.rawScript("list", {}, { db }),
              kt.Hash("h", { db }).getAll,
              kt.setDatabase(db).get("k")
            ]
            for (const call of calls) yield* ktError(call, "NoDatabase")
          }
        }))
    })

    describe("keys", () => {
      test("any text is a key, and they come in the order of their bytes", (kt) =>
        Effect.gen(function*() {
          const keys = [
            "",
            "\0",
            "\t",
            " ",
            "%",
            "'",
            "\"",
            "A",
            "_",
            "a",
            "a\0b",
            "é",
            "e\u0301",
            "日本",
            "\ufeff",
            "\uffff",
            "😀"
          ]
          yield* kt.setBulk(keys.map((key) => [key, `<${key}>`] as const))
          assert.strictEqual(yield* kt.count(), keys.length)
          for (const key of keys) deepStrictEqual(yield* kt.get(key), some(`<${key}>`), JSON.stringify(key))
          deepStrictEqual(
            yield* collect(kt.keys()),
            [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
          )
          assert.isTrue(yield* kt.remove(""))
        }))

      test("keys of 2,048 bytes are, and of 2,049 are InvalidKey, to every method", (kt) =>
        Effect.gen(function*() {
          for (const key of ["k".repeat(2048), "é".repeat(1024)]) {
            yield* kt.set(key, "v")
            deepStrictEqual(yield* kt.get(key), some("v"))
            deepStrictEqual(yield* kt.matchPrefix(key), [key])
          }
          for (const key of ["k".repeat(2049), `${"é".repeat(1024)}x`, "\ud800", "a\udc00b"]) {
            const calls: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
              kt.get(key),
              kt.getBytes(key),
              kt.getBulk(["a", key]),
              kt.getBulkDetails([[0, key]]),
              kt.set(key, "v"),
              kt.setBytes(key, bytes("v")),
              kt.add(key, "v"),
              kt.replace(key, "v"),
              kt.append(key, "v"),
              kt.increment(key),
              kt.incrementDouble(key),
              kt.cas(key, none, some("v")),
              kt.remove(key),
              kt.removeBulkDetails([[1, key]]),
              kt.exists(key),
              kt.length(key),
              kt.seize(key),
              kt.touch(key),
              kt.touchRelative(key, 1),
              kt.expireTime(key),
              kt.expires(key),
              kt.List(key).append("v")
            ]
            for (const call of calls) yield* invalidKey(call)
          }
        }))

      test("U7: a stored key that is not UTF-8 fails where it would be returned, and nowhere else", (kt) =>
        Effect.gen(function*() {
          const raw = yield* KtCompat.makeBytes()
          yield* raw.set(unhex("61ff"), "v")
          yield* kt.set("b", "w")
          yield* failsWith(kt.keysNonlazy(), "CodecError")
          yield* failsWith(collect(kt.keys()), "CodecError")
          yield* failsWith(collect(kt.items()), "CodecError")
          yield* failsWith(kt.matchPrefix("a"), "CodecError")
          yield* failsWith(kt.matchRegex("^a"), "CodecError")
          deepStrictEqual(yield* collect(kt.values()), ["v", "w"])
          deepStrictEqual(yield* kt.matchPrefix("b"), ["b"])
          assert.strictEqual(yield* kt.count(), 2)
        }))

      test("U7: a client with keys of bytes", () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.makeBytes()
          const keys = ["", "00", "00ff", "61", "80", "c3a9", "ff", "ff00"].map(unhex)
          yield* kt.setBulk(keys.map((key) => [key, hex(key)] as const))
          deepStrictEqual((yield* kt.keysNonlazy()).map(hex), keys.map(hex))
          deepStrictEqual(
            (yield* collect(kt.items())).map(([key, value]) => [hex(key), value]),
            keys.map((key) => [hex(key), hex(key)])
          )
          deepStrictEqual((yield* kt.matchPrefix(unhex("ff"))).map(hex), ["ff", "ff00"])
          deepStrictEqual((yield* kt.matchSimilar(unhex("c3"), { max: 3 })).map(hex), ["", "00", "61"])
          const [first, second] = [unhex("ff"), unhex("80")]
          const found = yield* kt.getBulk([first, unhex("99"), second])
          deepStrictEqual([found.get(first), found.get(second), found.size], ["ff", "80", 2])
          deepStrictEqual(yield* kt.getBytes(unhex("c3a9")), some(bytes("c3a9")))
          yield* kt.set(new Uint8Array(2048).fill(255), "long")
          yield* invalidKey(kt.set(new Uint8Array(2049), "v"))
          assert.strictEqual(yield* kt.removeBulk(keys), keys.length)
          const numbers = yield* KtCompat.makeBytes({ db: 1, value: KtCompat.json })
          yield* numbers.set(unhex("fe"), 7)
          deepStrictEqual(yield* numbers.get(unhex("fe")), some(7))
        }))
    })

    describe("large values", () => {
      const size = engine === postgres ? 2 ** 20 : 2 ** 25

      test("U49: of many megabytes, there and back", (kt) =>
        Effect.gen(function*() {
          const value = Buffer.alloc(size, "0123456789abcde")
          yield* kt.setBytes("k", value)
          deepStrictEqual(yield* kt.length("k"), some(size))
          const read = Option.getOrThrow(yield* kt.getBytes("k"))
          assert.strictEqual(Buffer.compare(read, value), 0)
          yield* kt.append("k", "!")
          deepStrictEqual(yield* kt.length("k"), some(size + 1))
          deepStrictEqual(
            Option.map(yield* kt.pop("k"), (text) => text.slice(-3)),
            some(`${value.toString("latin1").slice(-2)}!`)
          )
        }))
    })

    describe("in a transaction", () => {
      test("several calls are one: all or nothing, and read what they wrote", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* kt.setBulk({ a: "1", b: "2" })
          const moved = (fails: boolean) =>
            storage.transaction(Effect.gen(function*() {
              const value = Option.getOrThrow(yield* kt.pop("a"))
              yield* kt.set("a", value, { db: 1 })
              yield* kt.increment("moves")
              deepStrictEqual(yield* kt.getBulkDetails([[0, "a"]]), [])
              deepStrictEqual(yield* kt.get("a", { db: 1 }), some("1"))
              assert.strictEqual(yield* kt.count(), 2)
              if (fails) return yield* Effect.fail("no")
            }))
          assert.strictEqual(yield* Effect.flip(moved(true)), "no")
          deepStrictEqual(yield* kt.keysNonlazy(), ["a", "b"])
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          yield* moved(false)
          deepStrictEqual(yield* kt.keysNonlazy(), ["b", "moves"])
          deepStrictEqual(yield* kt.get("a", { db: 1 }), some("1"))
        }))
    })
  })
